// Registers that instructions set, of `WIDTH` bits each, side by side.
module registers #(
    parameter int COUNT = 4,
    parameter int WIDTH = 16,
    parameter int FIRST = 0,  // index of the first
    parameter int INDEX = 6
) (
    input  logic                   clk,
    input  logic                   set,
    input  logic [      INDEX-1:0] index,
    input  logic [      WIDTH-1:0] value,
    output logic [COUNT*WIDTH-1:0] held
);
  for (genvar r = 0; r < COUNT; r++) begin : g_register
    always_ff @(posedge clk) if (set && index == INDEX'(FIRST + r)) held[r*WIDTH+:WIDTH] <= value;
  end
endmodule
