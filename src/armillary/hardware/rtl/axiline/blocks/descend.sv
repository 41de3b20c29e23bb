// One step down the gradient for LANES parameters: each less `gradient` times the other operand, rounded once.
module descend #(
    parameter int LANES          = 8,
    parameter int OTHER          = 8,  // bits of an element of the other operand
    parameter int OTHER_FRACTION = 6,  // at least 1
    parameter int INTERNAL       = 16
) (
    input  logic signed [      INTERNAL-1:0] gradient,
    input  logic        [   LANES*OTHER-1:0] others,
    input  logic        [LANES*INTERNAL-1:0] in,
    output logic        [LANES*INTERNAL-1:0] out
);
  localparam int WIDE = INTERNAL + OTHER + 1;
  localparam logic [WIDE-1:0] HALF = WIDE'(1) << (OTHER_FRACTION - 1);  // where the shifted parameter is zero
  for (genvar l = 0; l < LANES; l++) begin : g_lane
    logic signed [INTERNAL+OTHER-1:0] product;
    logic signed [WIDE-1:0] exact;
    assign product = gradient * $signed(others[l*OTHER+:OTHER]);
    assign exact = ((WIDE'($signed(in[l*INTERNAL+:INTERNAL])) <<< OTHER_FRACTION) | HALF) - WIDE'(product);
    saturate #(.IN(WIDE), .OUT(INTERNAL), .DROP(OTHER_FRACTION)) saturate (
        .in(exact), .out(out[l*INTERNAL+:INTERNAL])
    );
  end
endmodule
