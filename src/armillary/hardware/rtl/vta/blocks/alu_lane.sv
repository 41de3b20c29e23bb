// One element's operation: the least, the greatest, the sum, a shift to the right with the sign, the product.
//
// Sums wrap around. A product is that of the lowest FACTOR bits, each with its sign. A shift takes the lowest bits of its
// operand for how far.
module alu_lane #(
    parameter int WIDTH  = 32,
    parameter int FACTOR = 8
) (
    input  logic        [      2:0] operation,
    input  logic signed [WIDTH-1:0] a,
    input  logic signed [WIDTH-1:0] b,
    output logic signed [WIDTH-1:0] out
);
  logic less;
  assign less = a < b;
  always_comb begin
    case (operation)
      3'd0: out = less ? a : b;
      3'd1: out = less ? b : a;
      3'd2: out = a + b;
      3'd3: out = a >>> b[$clog2(WIDTH)-1:0];
      default: out = WIDTH'($signed(a[FACTOR-1:0]) * $signed(b[FACTOR-1:0]));
    endcase
  end
endmodule
