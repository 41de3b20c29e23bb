// An address that follows nested loops: with each step it moves by what belongs to the level that goes on.
//
// A level's step holds the way back of the levels within it, so that one addition is enough.
module walk #(
    parameter int LEVELS = 3,
    parameter int WIDTH  = 16
) (
    input  logic                    clk,
    input  logic                    start,
    input  logic [       WIDTH-1:0] base,
    input  logic                    step,
    input  logic [      LEVELS-1:0] advances,
    input  logic [LEVELS*WIDTH-1:0] steps,
    output logic [       WIDTH-1:0] address
);
  logic [WIDTH-1:0] moved;
  always_comb begin
    moved = '0;
    for (int l = 0; l < LEVELS; l++) if (advances[l]) moved = moved | steps[l*WIDTH+:WIDTH];
  end
  always_ff @(posedge clk)
    if (start) address <= base;
    else if (step) address <= address + moved;
endmodule
