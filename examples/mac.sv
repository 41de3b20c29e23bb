// A multiply-accumulate unit: what `armillary physical run` lays out in seconds.
module mac (
  input clk,
  input reset,
  input signed [7:0] a,
  input signed [7:0] b,
  output reg signed [23:0] sum
);
  always @(posedge clk) sum <= reset ? 24'sd0 : sum + a * b;
endmodule
