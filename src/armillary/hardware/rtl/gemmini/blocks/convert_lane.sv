// One lane of `convert`: a sum times a factor, less the bits that are dropped, as a byte.
//
// Sign and magnitude part at once and come together at the end. Stages 0 to 3 make the 24-bit mantissa of a floating
// sum, or pass a fixed one on; 4 and 5 multiply; 6 and 7 shift; 8 rounds; 9 clamps.
module convert_lane (
    input  logic              clk,
    input  logic        [9:0] moves,     // stages that take a new value
    input  logic       [31:0] sum,
    input  logic              floating,
    input  logic       [23:0] factor,    // at most 16 bits if not floating
    input  logic signed [8:0] drop,      // bits of the product, before the mantissa's exponent is known
    input  logic signed [7:0] low,
    input  logic signed [7:0] high,
    output logic signed [7:0] result
);
  logic [7:0] negative;
  always_ff @(posedge clk) begin
    if (moves[0]) negative[0] <= sum[31];
    for (int s = 1; s < 8; s++) if (moves[s]) negative[s] <= negative[s-1];
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
    if (moves[1]) {sixteen_eight, nearly} <= floating ? by_sixteen_and_eight(magnitude) : {2'd0, magnitude};
    if (moves[2]) {zeros, normal} <= {sixteen_eight, floating ? by_four_two_and_one(nearly) : {3'd0, nearly}};
  end

  // The mantissa is rounded to nearest even. If it overflows it is 2^23, and its exponent one more.
  logic [31:0] multiplicand;
  logic [4:0] zeros_left;
  logic carry;
  function automatic logic [24:0] rounded(input logic [31:0] value);
    rounded = {1'b0, value[31:8]} + 25'(value[7] && (value[8] || value[6:0] != 0));
  endfunction
  function automatic logic [32:0] mantissa(input logic [24:0] value);
    mantissa = {value[24], 8'd0, value[24] | value[23], value[22:0]};
  endfunction
  always_ff @(posedge clk) begin
    if (moves[3]) begin
      {carry, multiplicand} <= floating ? mantissa(rounded(normal)) : {1'b0, normal};
      zeros_left <= zeros;
    end
  end

  // 24 x 24 or 32 x 16 bits: three multipliers of 24 x 8, of which the last takes what the two kinds do not share.
  logic [23:0] last_multiplicand;
  logic [7:0] last_factor;
  assign last_multiplicand = floating ? multiplicand[23:0] : {factor[15:0], 8'd0};
  assign last_factor = floating ? factor[23:16] : multiplicand[31:24];
  logic [31:0] units, middles, tops;
  logic [47:0] product;
  logic signed [8:0] dropped;
  logic [5:0] dropping;
  function automatic logic [5:0] clipped(input logic signed [8:0] value);
    clipped = value[8] ? 6'd0 : value[7:6] != 0 ? 6'd63 : value[5:0];
  endfunction
  always_ff @(posedge clk) begin
    if (moves[4]) begin
      units <= multiplicand[23:0] * factor[7:0];
      middles <= multiplicand[23:0] * factor[15:8];
      tops <= last_multiplicand * last_factor;
      dropped <= drop + $signed({4'd0, zeros_left}) - $signed({8'd0, carry});
    end
    if (moves[5]) begin
      product <= {16'd0, units} + {8'd0, middles, 8'd0} + {tops, 16'd0};
      // A floating product is 0 or at least 2^46: what drops none of it saturates, and what drops 63 bits is 0.
      dropping <= clipped(dropped);
    end
  end

  // The shift. Bit 0 of what is shifted is the half bit; of the bits below, `some` tells that one is set, `all` that all
  // are. Bits that no shift still to come would bring into a byte say that it is `over`.
  //
  // binary32 keeps 24 bits of the product, which we never round: it can only make a difference by making a tie, as more
  // than 24 bits are then below one. It makes one of a half bit and zeros with less below than rounds up, and of no half
  // bit and ones with enough below. So `some` and `all` look at the bits it keeps, and at how the rest would be rounded.
  typedef struct packed {
    logic over;
    logic some;
    logic all;
    logic [39:0] value;
  } shifted_t;
  shifted_t coarse, fine;
  logic [3:0] dropping_left;
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
  always_ff @(posedge clk) begin
    if (moves[6]) begin
      coarse <= by(by_thirty_two(product, dropping[5], floating), dropping[4], 16);
      dropping_left <= dropping[3:0];
    end
    if (moves[7])
      fine <= by(by(by(by(coarse, dropping_left[3], 8), dropping_left[2], 4), dropping_left[1], 2), dropping_left[0], 1);
  end

  // Half to even, or half up, which for a negative sum is half down.
  logic signed [9:0] whole;
  function automatic logic signed [9:0] rounded_whole(input shifted_t from, input logic minus, input logic to_even);
    logic tie, up;
    tie = from.value[0] ? !from.some : to_even && from.all;
    up = !from.over && (tie ? (to_even ? from.value[1] : !minus) : from.value[0]);
    rounded_whole = ({1'b0, from.over, from.value[8:1]} ^ {10{minus}}) + 10'(up ^ minus);
  endfunction
  always_ff @(posedge clk) begin
    if (moves[8]) whole <= rounded_whole(fine, negative[7], floating);
    if (moves[9]) result <= whole < 10'(low) ? low : whole > 10'(high) ? high : whole[7:0];
  end
  wire unused = &{1'b0, fine.value[39:9]};
endmodule
