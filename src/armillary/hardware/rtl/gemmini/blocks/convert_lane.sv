// One lane of `convert`: a sum times a factor, less the bits that are dropped, as a byte.
//
// Sign and magnitude part at once and come together at the end. Stages 0 to 3 make the 24-bit mantissa of a floating
// sum, or pass a fixed one on; 4 and 5 multiply; 6 shifts; 7 rounds; 8 clamps.
//
// All lanes are alike, so synthesis need see but one.
(* keep_hierarchy *)
module convert_lane (
    input  logic              clk,
    input  logic        [8:0] moves,     // stages that take a new value
    input  logic       [31:0] sum,
    input  logic              floating,
    input  logic       [23:0] factor,    // at most 16 bits if not floating
    input  logic signed [8:0] drop,      // bits of the product, before the mantissa's exponent is known
    input  logic signed [7:0] low,
    input  logic signed [7:0] high,
    output logic signed [7:0] result
);
  // Settings reach many bits, so each lane has its own copy of those.
  logic own_floating;
  logic [23:0] own_factor;
  always_ff @(posedge clk)
    if (moves[0]) begin
      own_floating <= floating;
      own_factor   <= factor;
    end

  logic [6:0] negative;
  always_ff @(posedge clk)
    if (moves[6:0] != 0) begin
      if (moves[0]) negative[0] <= sum[31];
      for (int s = 1; s < 7; s++) if (moves[s]) negative[s] <= negative[s-1];
    end

  // Zeros in front of a floating magnitude are shifted out and counted.
  logic [31:0] magnitude, nearly, normal;
  logic [1:0] sixteen_eight;
  logic [4:0] zeros;
  function automatic logic [33:0] by_sixteen_and_eight(input logic [31:0] value);
    logic [31:0] by_sixteen;
    logic many, some;
    many = value[31:16] == 0;
    by_sixteen = many ? value << 16 : value;
    some = by_sixteen[31:24] == 0;
    by_sixteen_and_eight = {many, some, some ? by_sixteen << 8 : by_sixteen};
  endfunction
  function automatic logic [34:0] by_four_two_and_one(input logic [31:0] value);
    logic [31:0] by_four, by_two;
    logic four, two, one;
    four = value[31:28] == 0;
    by_four = four ? value << 4 : value;
    two = by_four[31:30] == 0;
    by_two = two ? by_four << 2 : by_four;
    one = !by_two[31];
    by_four_two_and_one = {four, two, one, one ? by_two << 1 : by_two};
  endfunction
  always_ff @(posedge clk) begin
    if (moves[0]) magnitude <= sum[31] ? -sum : sum;
    if (moves[1]) {sixteen_eight, nearly} <= own_floating ? by_sixteen_and_eight(magnitude) : {2'd0, magnitude};
    if (moves[2]) {zeros, normal} <= {sixteen_eight, own_floating ? by_four_two_and_one(nearly) : {3'd0, nearly}};
  end

  // The mantissa is rounded to nearest even. If that overflows it is 2^23, and its exponent one more.
  logic [31:0] multiplicand;
  logic [4:0] zeros_left;
  logic carry;
  function automatic logic [32:0] rounded_mantissa(input logic [31:0] value, input logic rounds);
    logic [24:0] next_up;
    next_up = {1'b0, value[31:8]} + 25'd1;
    if (rounds && value[7] && (value[8] || value[6:0] != 0))
      rounded_mantissa = {next_up[24], 8'd0, next_up[24] | next_up[23], next_up[22:0]};
    else rounded_mantissa = {1'b0, rounds ? {8'd0, value[31:8]} : value};
  endfunction
  always_ff @(posedge clk)
    if (moves[3]) begin
      {carry, multiplicand} <= rounded_mantissa(normal, own_floating);
      zeros_left <= zeros;
    end

  // The product of 24 x 24 or 32 x 16 bits is the sum of 24 rows: 16 that the two share, and 8 with the factor's upper
  // bits, which are 0 if it is fixed, or the multiplicand's, which are 0 if it is floating. Six rows are added in a
  // cycle, and then the four sums of six.
  logic [29:0] partial[4];
  logic [47:0] product;
  logic signed [8:0] dropped;
  logic [5:0] dropping;
  function automatic logic [23:0] row_of(input int r, input logic [31:0] by, input logic [23:0] times);
    row_of = times[r] ? by[23:0] : '0;
    if (r >= 16 && by[r+8]) row_of |= {times[15:0], 8'd0};
  endfunction
  for (genvar g = 0; g < 4; g++) begin : g_six_rows
    always_ff @(posedge clk)
      if (moves[4])
        partial[g] <= {6'd0, row_of(6 * g, multiplicand, own_factor)}
                    + {5'd0, row_of(6 * g + 1, multiplicand, own_factor), 1'd0}
                    + {4'd0, row_of(6 * g + 2, multiplicand, own_factor), 2'd0}
                    + {3'd0, row_of(6 * g + 3, multiplicand, own_factor), 3'd0}
                    + {2'd0, row_of(6 * g + 4, multiplicand, own_factor), 4'd0}
                    + {1'd0, row_of(6 * g + 5, multiplicand, own_factor), 5'd0};
  end
  function automatic logic [5:0] clipped(input logic signed [8:0] value);
    clipped = value[8] ? 6'd0 : value[7:6] != 0 ? 6'd63 : value[5:0];
  endfunction
  always_ff @(posedge clk) begin
    if (moves[4]) dropped <= drop + $signed({4'd0, zeros_left}) - $signed({8'd0, carry});
    if (moves[5]) begin
      product <= {18'd0, partial[0]} + {12'd0, partial[1], 6'd0} + {6'd0, partial[2], 12'd0} + {partial[3], 18'd0};
      // A floating product is 0 or at least 2^46: what drops none of it saturates, and what drops 63 bits is 0.
      dropping <= clipped(dropped);
    end
  end

  // The shift. Bit 0 of `value` is the half bit. Of the bits below it, `some` says that one is set, `all` that all are.
  // `over`: a bit is set that no further shift would bring into a byte.
  //
  // binary32 keeps 24 bits of the product. Rounding it to those changes the byte only where it makes a tie, as 16
  // or more of them lie below one. That happens twice: a half bit, zeros, and less than what rounds up; no half bit,
  // ones, and what does round up. So `some` and `all` look at the 24 bits, and at how the rest would round.
  typedef struct packed {
    logic over;
    logic some;
    logic all;
    logic [39:0] value;
  } shifted_t;
  shifted_t shifted;
  function automatic shifted_t by_thirty_two(input logic [47:0] value, input logic shifts, input logic keeps_24);
    shifted_t to;
    logic half, more;
    half = value[47] ? value[23] : value[22];  // of the last bit that binary32 keeps
    more = value[21:0] != 0 || (value[47] && value[22]);
    to.over = !shifts && value[47:39] != 0;
    to.some = shifts && value[30:24] != 0;
    if (keeps_24) to.some = to.some || (!value[47] && value[23]) || (half && more);
    else to.some = to.some || (shifts && value[23:0] != 0);
    to.all = value[30:24] == '1 && (value[47] || value[23]) && half;
    to.value = shifts ? {23'd0, value[47:31]} : {value[38:0], 1'b0};
    by_thirty_two = to;
  endfunction
  function automatic shifted_t by(input shifted_t from, input logic shifts, input int bits);
    shifted_t to;
    logic [39:0] below, above;
    below = ~(~40'd0 << bits);
    above = ~40'd0 << (bits + 8);
    to.over = from.over || (!shifts && (from.value & above) != 0);
    to.some = from.some || (shifts && (from.value & below) != 0);
    to.all = from.all && (!shifts || (from.value | ~below) == '1);
    to.value = shifts ? from.value >> bits : from.value & ~above;
    by = to;
  endfunction
  function automatic shifted_t by_all(input logic [47:0] value, input logic [5:0] bits, input logic keeps_24);
    by_all = by(by_thirty_two(value, bits[5], keeps_24), bits[4], 16);
    by_all = by(by(by(by(by_all, bits[3], 8), bits[2], 4), bits[1], 2), bits[0], 1);
  endfunction
  always_ff @(posedge clk) if (moves[6]) shifted <= by_all(product, dropping, own_floating);

  // Half to even, or half up, which for a negative sum is half down.
  logic signed [9:0] whole;
  function automatic logic signed [9:0] rounded_whole(input shifted_t from, input logic minus, input logic to_even);
    logic tie, up;
    tie = from.value[0] ? !from.some : to_even && from.all;
    up = !from.over && (tie ? (to_even ? from.value[1] : !minus) : from.value[0]);
    rounded_whole = ({1'b0, from.over, from.value[8:1]} ^ {10{minus}}) + 10'(up ^ minus);
  endfunction
  always_ff @(posedge clk) begin
    if (moves[7]) whole <= rounded_whole(shifted, negative[6], own_floating);
    if (moves[8]) result <= whole < 10'(low) ? low : whole > 10'(high) ? high : whole[7:0];
  end
  wire unused = &{1'b0, shifted.value[39:9]};
endmodule
