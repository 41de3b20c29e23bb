// A processing element that holds a sum: inputs pass to the right, weights and finished sums pass down.
//
// An input that begins a block moves the sum to `result` and starts it anew. Of the requests for results that come down,
// an element answers the first with its own and passes the rest on, so that the rows' results leave one after another.
// The product is added in the cycle after it is made, so that neither the multiplier nor the adder has to wait for the
// other within a cycle.
module pe #(
    parameter int PSUM = 32
) (
    input  logic                   clk,
    input  logic signed [     7:0] in,
    input  logic                   in_begins,
    output logic signed [     7:0] out,
    output logic                   out_begins,
    input  logic signed [     7:0] weight_in,
    output logic signed [     7:0] weight_out,
    input  logic                   request_in,
    input  logic                   request_first_in,
    output logic                   request_out,
    output logic                   request_first_out,
    input  logic signed [PSUM-1:0] result_in,
    output logic signed [PSUM-1:0] result_out
);
  logic signed [PSUM-1:0] sum, result;
  logic signed [15:0] product;
  logic answers, mark, begins;

  assign answers = request_in && request_first_in;

  always_ff @(posedge clk) begin
    out               <= in;
    out_begins        <= in_begins;
    weight_out        <= weight_in;
    request_out       <= request_in && !request_first_in;
    request_first_out <= mark;
    if (request_in) mark <= request_first_in;
    product <= in * weight_in;
    begins  <= in_begins;
    if (begins) result <= sum;
    sum        <= (begins ? '0 : sum) + PSUM'(product);
    result_out <= answers ? result : result_in;
  end
endmodule
