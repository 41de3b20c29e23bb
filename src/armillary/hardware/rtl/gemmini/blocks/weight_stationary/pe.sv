// A processing element that holds a weight: inputs pass to the right, partial sums and weights pass down.
//
// Of the weights that come down, it keeps the first and passes the rest on, so that the n-th element of a column keeps
// the n-th. The kept one waits in `next` until an input that begins a tile takes it into use. The product is added in the
// cycle after it is made, so that neither the multiplier nor the adder has to wait for the other within a cycle.
module pe #(
    parameter int PSUM = 20
) (
    input  logic                   clk,
    input  logic signed [     7:0] in,
    input  logic                   in_begins,
    output logic signed [     7:0] out,
    output logic                   out_begins,
    input  logic signed [     7:0] weight_in,
    input  logic                   weight_valid_in,
    input  logic                   weight_first_in,
    output logic signed [     7:0] weight_out,
    output logic                   weight_valid_out,
    output logic                   weight_first_out,
    input  logic signed [PSUM-1:0] sum_in,
    output logic signed [PSUM-1:0] sum_out
);
  logic signed [7:0] held, next, weight;
  logic signed [15:0] product;
  logic keeps, mark;

  assign keeps  = weight_valid_in && weight_first_in;
  assign weight = in_begins ? next : held;

  always_ff @(posedge clk) begin
    out              <= in;
    out_begins       <= in_begins;
    weight_out       <= weight_in;
    weight_valid_out <= weight_valid_in && !weight_first_in;
    weight_first_out <= mark;
    if (weight_valid_in) mark <= weight_first_in;
    if (keeps) next <= weight_in;
    if (in_begins) held <= next;
    product <= in * weight;
    sum_out <= sum_in + PSUM'(product);
  end
endmodule
