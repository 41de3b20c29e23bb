// The logistic function by four straight lines whose slopes are powers of two.
//
// Source: Amin, Curtis and Hayes-Gill, "Piecewise linear approximation applied to nonlinear function of a neural
// network", IEE Proceedings 1997, table 1 (PLAN). Here the value is exact in 1/32 of the last bit, then rounded.
module sigmoid #(
    parameter int INTERNAL = 16,
    parameter int FRACTION = 8    // bits after the point; at least 4
) (
    input  logic signed [INTERNAL-1:0] in,
    output logic signed [INTERNAL-1:0] out
);
  localparam int WIDE = INTERNAL + 5;
  localparam logic [WIDE-1:0] ONE = WIDE'(1) << FRACTION, FIVE = WIDE'(5) << FRACTION;
  localparam logic [WIDE-1:0] KNEE = WIDE'(19) << (FRACTION - 3);  // 2.375
  logic [INTERNAL:0] negated;
  logic [WIDE-1:0] magnitude, line, rounded;

  assign negated = (INTERNAL + 1)'(0) - (INTERNAL + 1)'(in);
  assign magnitude = in[INTERNAL-1] ? WIDE'(negated) : WIDE'($unsigned(in));
  always_comb begin
    if (magnitude >= FIVE) line = WIDE'(32) << FRACTION;
    else if (magnitude >= KNEE) line = magnitude + (WIDE'(27) << FRACTION);
    else if (magnitude >= ONE) line = (magnitude << 2) + (WIDE'(20) << FRACTION);
    else line = (magnitude << 3) + (WIDE'(16) << FRACTION);
  end
  assign rounded = (line + WIDE'(16)) >> 5;
  assign out = INTERNAL'(in[INTERNAL-1] ? ONE - rounded : rounded);
endmodule
