// Registers in a row; none for zero cycles.
module delay #(
    parameter int WIDTH  = 8,
    parameter int CYCLES = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
  if (CYCLES == 0) begin : g_wire
    assign out = in;
    wire unused = &{1'b0, clk};
  end else begin : g_registers
    logic [WIDTH-1:0] stages[CYCLES];
    assign out = stages[CYCLES-1];
    always_ff @(posedge clk) begin
      stages[0] <= in;
      for (int s = 1; s < CYCLES; s++) stages[s] <= stages[s-1];
    end
  end
endmodule
