// Tokens from one module to another: how many the one has sent that the other has not yet taken.
module tokens (
    input  logic clk,
    input  logic reset,
    input  logic push,
    input  logic pop,
    output logic there
);
  logic [7:0] count;
  assign there = count != 0;
  always_ff @(posedge clk) count <= reset ? '0 : count + 8'(push) - 8'(pop);
endmodule
