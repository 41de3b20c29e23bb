// What a processing element computes in a cycle, on fixed-point numbers: sums and products saturate, products are rounded
// half up, and what is true is one.
module alu #(
    parameter int INTERNAL = 32,
    parameter int FRACTION = 16   // bits after the point
) (
    input  logic        [         3:0] operation,
    input  logic signed [INTERNAL-1:0] a,
    input  logic signed [INTERNAL-1:0] b,
    output logic signed [INTERNAL-1:0] out
);
  localparam int PRODUCT = 2 * INTERNAL;  // no product is beyond 2^(PRODUCT-2), so that there is room for the half
  localparam logic signed [INTERNAL-1:0] ONE = INTERNAL'(1) << FRACTION;
  logic signed [INTERNAL:0] sum;
  logic signed [PRODUCT-1:0] product;
  logic signed [INTERNAL-1:0] fitting_sum, fitting_product, logistic;

  assign sum = operation == 4'd1 ? (INTERNAL + 1)'(a) - (INTERNAL + 1)'(b) : (INTERNAL + 1)'(a) + (INTERNAL + 1)'(b);
  assign product = PRODUCT'(a) * PRODUCT'(b) + (PRODUCT'(1) << (FRACTION - 1));
  saturate #(.IN(INTERNAL + 1), .OUT(INTERNAL), .DROP(0)) saturate_sum (.in(sum), .out(fitting_sum));
  saturate #(.IN(PRODUCT), .OUT(INTERNAL), .DROP(FRACTION)) saturate_product (.in(product), .out(fitting_product));
  sigmoid #(.INTERNAL(INTERNAL), .FRACTION(FRACTION)) sigmoid (.in(a), .out(logistic));
  always_comb begin
    case (operation)
      4'd0, 4'd1: out = fitting_sum;
      4'd2: out = fitting_product;
      4'd3: out = a > b ? a : b;
      4'd4: out = a > b ? b : a;
      4'd5: out = a > b ? ONE : '0;
      4'd6: out = a == b ? ONE : '0;
      4'd7: out = a != '0 ? b : '0;
      4'd8: out = a != '0 ? '0 : b;
      4'd9: out = logistic;
      default: out = a;
    endcase
  end
endmodule
