// Inference of a linear model: a vector of CYCLES * LANES elements comes in CYCLES parts, its prediction leaves.
//
// A part is taken in every cycle in which `in_valid` is high; there may be pauses. A vector's prediction shows four cycles
// after its last part. Elements beyond the model's dimension are zero. Weights are written part by part while no
// vector is on its way, and so is the bias, the lowest bits of `weights_in`.
module axiline #(
    parameter int ALGORITHM       = 0,   // 0 linear, 1 logistic, 2 support vector machine, 3 recommender
    parameter int LANES           = 8,
    parameter int CYCLES          = 7,
    parameter int VECTOR          = 8,   // bits of an element, a number with a sign
    parameter int VECTOR_FRACTION = 6,   // of these after the point
    parameter int INTERNAL        = 16,  // bits of weights, bias and predictions
    parameter int FRACTION        = 8,
    parameter int ADDRESS         = CYCLES > 1 ? $clog2(CYCLES) : 1
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic                       bias_write,
    input  logic                       weights_write,
    input  logic [        ADDRESS-1:0] weights_address,
    input  logic [ LANES*INTERNAL-1:0] weights_in,
    input  logic                       in_valid,
    input  logic [   LANES*VECTOR-1:0] in_vector,
    output logic                       out_valid,
    output logic signed [INTERNAL-1:0] out
);
  localparam int SUM = VECTOR + INTERNAL + $clog2(LANES * CYCLES);  // the bias and the half are less than a bit
  localparam logic [SUM-1:0] HALF = SUM'(1) << (VECTOR_FRACTION - 1);
  logic [LANES*INTERNAL-1:0] weights[CYCLES];
  logic signed [INTERNAL-1:0] bias, score;
  logic [ADDRESS-1:0] part;
  logic first, last, sum_valid;
  logic signed [SUM-1:0] sum;

  assign first = part == 0;
  assign last  = part == ADDRESS'(CYCLES - 1);
  always_ff @(posedge clk) begin
    if (reset) part <= '0;
    else if (in_valid) part <= last ? '0 : part + 1;
    if (weights_write) weights[weights_address] <= weights_in;
    if (bias_write) bias <= weights_in[INTERNAL-1:0];
  end

  dot_product #(.LANES(LANES), .VECTOR(VECTOR), .INTERNAL(INTERNAL), .SUM(SUM)) dot (
      .clk, .reset, .in_valid, .in_first(first), .in_last(last), .in_vector, .weights(weights[part]),
      .start((SUM'(bias) <<< VECTOR_FRACTION) | HALF), .out_valid(sum_valid), .sum
  );
  predict #(
      .ALGORITHM(ALGORITHM), .SUM(SUM), .VECTOR_FRACTION(VECTOR_FRACTION), .INTERNAL(INTERNAL), .FRACTION(FRACTION)
  ) predict (.clk, .reset, .in_valid(sum_valid), .sum, .out_valid, .score, .value(out));
  wire unused = &{1'b0, score};
endmodule
