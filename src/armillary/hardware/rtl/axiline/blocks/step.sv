// How far a step of stochastic gradient descent goes along the vector: rate times error, rounded.
//
// The error is the prediction less the label. A support vector machine's is minus the label where its rule holds, else
// zero: with `hinge` where label * score < 1, the gradient of the hinge loss; without where label * score > label. Its
// labels count as +1 or, if negative, -1.
module step #(
    parameter int ALGORITHM      = 0,  // as in predict
    parameter int LABEL          = 8,
    parameter int LABEL_FRACTION = 6,
    parameter int INTERNAL       = 16,
    parameter int FRACTION       = 8
) (
    input  logic                       hinge,
    input  logic signed [   LABEL-1:0] label,
    input  logic        [INTERNAL-1:0] rate,   // below 2: all bits but one are after the point
    input  logic signed [INTERNAL-1:0] score,
    input  logic signed [INTERNAL-1:0] value,
    output logic signed [INTERNAL-1:0] gradient
);
  localparam int POINT = FRACTION > LABEL_FRACTION ? FRACTION : LABEL_FRACTION;
  localparam int A = INTERNAL + POINT - FRACTION, B = LABEL + POINT - LABEL_FRACTION;
  localparam int ERROR = (A > B ? A : B) + 1;
  localparam int PRODUCT = ERROR + INTERNAL + 1;
  localparam int DROP = POINT + INTERNAL - 1 - FRACTION;
  localparam logic signed [PRODUCT:0] HALF = (PRODUCT + 1)'(1) << (DROP - 1);
  logic signed [  ERROR-1:0] error;
  logic signed [PRODUCT-1:0] product;

  if (ALGORITHM == 2) begin : g_machine
    localparam logic signed [INTERNAL:0] ONE = (INTERNAL + 1)'(1) << FRACTION;
    localparam logic signed [ERROR-1:0] WHOLE = ERROR'(1) << POINT;
    logic signed [INTERNAL:0] wide, margin;
    logic negative, holds;
    assign negative = label[LABEL-1];
    assign wide = (INTERNAL + 1)'(score);
    assign margin = negative ? -wide : wide;
    assign holds = hinge ? margin < ONE : margin > (negative ? -ONE : ONE);
    assign error = !holds ? '0 : negative ? WHOLE : -WHOLE;
    wire unused = &{1'b0, value, label[LABEL-2:0]};
  end else begin : g_difference
    assign error = (ERROR'(value) <<< (POINT - FRACTION)) - (ERROR'(label) <<< (POINT - LABEL_FRACTION));
    wire unused = &{1'b0, score, hinge};
  end
  assign product = error * $signed({1'b0, rate});
  saturate #(.IN(PRODUCT + 1), .OUT(INTERNAL), .DROP(DROP)) saturate (.in((PRODUCT + 1)'(product) + HALF), .out(gradient));
endmodule
