// A processing element, which holds a weight: inputs pass to the right, partial sums down.
//
// The next weight waits in `next` until an input that begins a block takes it into use. The product is added in the cycle
// after it is made.
module pe #(
    parameter int DATA   = 8,
    parameter int WEIGHT = 8,
    parameter int PSUM   = 20
) (
    input  logic                     clk,
    input  logic signed [  DATA-1:0] in,
    input  logic                     in_begins,
    output logic signed [  DATA-1:0] out,
    output logic                     out_begins,
    input  logic                     weight_write,
    input  logic signed [WEIGHT-1:0] weight_in,
    input  logic signed [  PSUM-1:0] sum_in,
    output logic signed [  PSUM-1:0] sum_out
);
  logic signed [WEIGHT-1:0] next, held, weight;
  logic signed [DATA+WEIGHT-1:0] product;

  assign weight = in_begins ? next : held;
  always_ff @(posedge clk) begin
    out        <= in;
    out_begins <= in_begins;
    if (weight_write) next <= weight_in;
    if (in_begins) held <= next;
    product <= in * weight;
    sum_out <= sum_in + PSUM'(product);
  end
endmodule
