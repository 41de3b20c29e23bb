// Multiplies a tile of inputs, BATCH rows of BLOCK_IN, by the transpose of a tile of weights, BLOCK_OUT rows of BLOCK_IN.
//
// The products of the tiles on the inputs are there after a cycle, their sums after two. No bit is lost.
module gemm #(
    parameter int BATCH     = 1,
    parameter int BLOCK_IN  = 16,
    parameter int BLOCK_OUT = 16,
    parameter int INPUT     = 8,   // bits
    parameter int WEIGHT    = 8,
    parameter int SUM       = 20   // INPUT + WEIGHT + log2(BLOCK_IN)
) (
    input  logic                                 clk,
    input  logic                                 multiplies,  // the tiles are of a product; its sums follow
    input  logic [     BATCH*BLOCK_IN*INPUT-1:0] inputs,
    input  logic [BLOCK_OUT*BLOCK_IN*WEIGHT-1:0] weights,
    output logic [      BATCH*BLOCK_OUT*SUM-1:0] sums
);
  localparam int PRODUCT = INPUT + WEIGHT;
  logic adds;
  always_ff @(posedge clk) adds <= multiplies;
  for (genvar b = 0; b < BATCH; b++) begin : g_row
    for (genvar o = 0; o < BLOCK_OUT; o++) begin : g_column
      logic signed [PRODUCT-1:0] products[BLOCK_IN];
      logic signed [SUM-1:0] tree[2*BLOCK_IN-1];  // of additions; the root is the first
      always_ff @(posedge clk)
        if (multiplies)
          for (int i = 0; i < BLOCK_IN; i++)
            products[i] <= $signed(inputs[(b*BLOCK_IN+i)*INPUT+:INPUT]) * $signed(weights[(o*BLOCK_IN+i)*WEIGHT+:WEIGHT]);
      always_comb begin
        for (int i = 0; i < BLOCK_IN; i++) tree[BLOCK_IN-1+i] = SUM'(products[i]);
        for (int n = BLOCK_IN - 2; n >= 0; n--) tree[n] = tree[2*n+1] + tree[2*n+2];
      end
      always_ff @(posedge clk) if (adds) sums[(b*BLOCK_OUT+o)*SUM+:SUM] <= tree[0];
    end
  end
endmodule
