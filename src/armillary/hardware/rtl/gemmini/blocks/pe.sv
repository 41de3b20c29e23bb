// A processing element, which holds a weight or a sum: inputs pass to the right, weights and sums pass down.
//
// Holding a weight: partial sums pass down. Of the weights that come down, those that are valid, it keeps the first and
// passes the rest on, so that the n-th element of a column keeps the n-th. The kept one waits until an input that begins
// a tile takes it into use.
// Holding a sum: results pass down. An input that begins a block moves the sum to `kept` and starts it anew. Of the
// requests for results that come down, it answers the first with its own and passes the rest on, so that the rows' results
// leave one after another.
//
// The product is added in the cycle after it is made, so that neither the multiplier nor the adder has to wait for the
// other within a cycle. What only the other dataflow needs is left out where the parameter says so.
module pe #(
    parameter int DATAFLOW = 1,  // 1 holds weights, 2 sums, 3 what `holds_sums` says
    parameter int PSUM     = 32
) (
    input  logic                   clk,
    input  logic                   holds_sums,
    input  logic signed [     7:0] in,
    input  logic                   in_begins,
    output logic signed [     7:0] out,
    output logic                   out_begins,
    input  logic signed [     7:0] weight_in,
    output logic signed [     7:0] weight_out,
    input  logic                   mark_valid_in,  // a weight to keep, or a request
    input  logic                   mark_first_in,
    output logic                   mark_valid_out,
    output logic                   mark_first_out,
    input  logic signed [PSUM-1:0] sum_in,
    output logic signed [PSUM-1:0] sum_out
);
  logic signed [PSUM-1:0] kept;  // a result; or the next weight, and above it the one in use
  logic signed [PSUM-1:0] sum, added_to, total;
  logic signed [15:0] product;
  logic signed [7:0] weight;
  logic sums, mine, mark, begins;

  assign sums = DATAFLOW == 2 || (DATAFLOW == 3 && holds_sums);
  assign mine = mark_valid_in && mark_first_in;
  always_comb begin
    weight   = in_begins ? kept[7:0] : kept[15:8];
    added_to = sum_in;
    if (sums) begin
      weight   = weight_in;
      added_to = begins ? '0 : sum;
    end
  end
  assign total = added_to + PSUM'(product);

  always_ff @(posedge clk) begin
    out            <= in;
    out_begins     <= in_begins;
    weight_out     <= weight_in;
    mark_valid_out <= mark_valid_in && !mark_first_in;
    mark_first_out <= mark;
    if (mark_valid_in) mark <= mark_first_in;
    product <= in * weight;
    begins  <= in_begins;
    if (sums) begin
      if (begins) kept <= sum;
      sum     <= total;
      sum_out <= mine ? kept : sum_in;
    end else begin
      if (mine) kept[7:0] <= weight_in;
      if (in_begins) kept[15:8] <= kept[7:0];
      sum_out <= total;
    end
  end
endmodule
