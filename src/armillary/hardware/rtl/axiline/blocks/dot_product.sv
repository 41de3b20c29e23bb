// The dot product of a vector and the weights, LANES elements a cycle; no bit is lost.
//
// Products are registered, then added to the sum. The sum of a vector whose last elements come in a cycle shows two
// cycles later, for one cycle at least.
module dot_product #(
    parameter int LANES    = 8,
    parameter int VECTOR   = 8,   // bits of an element of the vector
    parameter int INTERNAL = 16,  // bits of a weight
    parameter int SUM      = 32
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic                       in_valid,
    input  logic                       in_first,  // of a vector
    input  logic                       in_last,
    input  logic [   LANES*VECTOR-1:0] in_vector,
    input  logic [ LANES*INTERNAL-1:0] weights,
    input  logic signed [     SUM-1:0] start,     // what the sum begins with
    output logic                       out_valid,
    output logic signed [     SUM-1:0] sum
);
  localparam int PRODUCT = VECTOR + INTERNAL;
  logic signed [PRODUCT-1:0] products[LANES];
  logic signed [SUM-1:0] total;
  logic valid, first, last;

  always_comb begin
    total = first ? start : sum;
    for (int l = 0; l < LANES; l++) total += SUM'(products[l]);
  end

  always_ff @(posedge clk) begin
    valid <= !reset && in_valid;
    first <= in_first;
    last <= in_last;
    if (in_valid)
      for (int l = 0; l < LANES; l++)
        products[l] <= $signed(in_vector[l*VECTOR+:VECTOR]) * $signed(weights[l*INTERNAL+:INTERNAL]);
    if (valid) sum <= total;
    out_valid <= !reset && valid && last;
  end
endmodule
