// A lane of the vector unit: an operation on two 32-bit numbers, six cycles from operands to value.
//
// Every operation ends as (x * y + addend) / 2^shift, rounded half up and saturated to 32 bits; x has 32 bits, y 16. The
// functions take and give numbers with 12 bits after the point and are lines between the entries of a table.
module lane (
    input  logic               clk,
    input  logic        [ 3:0] op,
    input  logic        [ 5:0] shift,
    input  logic               relu,
    input  logic        [ 1:0] reduce,  // 1 sums, 2 keeps the greatest
    input  logic               there,   // an element, and
    input  logic               first,   // the first of those reduced: both five cycles after the operands
    input  logic signed [31:0] a_in,
    input  logic signed [31:0] b_in,
    output logic signed [31:0] value
);
  localparam logic [3:0] ADD = 4'd0, SUBTRACT = 4'd1, MULTIPLY = 4'd2, MAXIMUM = 4'd3, MINIMUM = 4'd4, LEAKY = 4'd5,
      SIGMOID = 4'd6, TANH = 4'd7, GELU = 4'd8, EXP2 = 4'd9, LOG2 = 4'd10;
  localparam logic [5:0] MOST_SHIFT = 6'd47;

  // 1: operands.
  logic signed [31:0] a, b;
  always_ff @(posedge clk) begin
    a <= a_in;
    b <= b_in;
  end

  // 2: magnitude, normalised mantissa, and the place in a table.
  logic [31:0] magnitude, mantissa;
  logic [4:0] zeros;  // above the leading one
  logic [5:0][31:0] moved;  // up by 16, 8, 4, 2 and 1 where there is room
  logic [4:0] place_next, place;
  logic [9:0] fraction_next, fraction;  // of the way to the next entry, in parts of 1024
  logic beyond_next, beyond;            // the last entry
  logic signed [31:0] a2, b2;
  logic [4:0] zeros2;
  assign magnitude = a < 0 ? -a : a;
  assign moved[5]  = a > 0 ? a : 32'd1;
  for (genvar s = 4; s >= 0; s--) begin : g_move
    assign zeros[s] = moved[s+1][31-:1<<s] == '0;
    assign moved[s] = zeros[s] ? moved[s+1] << (1 << s) : moved[s+1];
  end
  assign mantissa = moved[0];
  always_comb begin
    beyond_next   = 1'b0;
    place_next    = a[11:7];
    fraction_next = {a[6:0], 3'b0};
    case (op)
      SIGMOID: begin
        beyond_next   = magnitude[31:15] != '0;
        place_next    = magnitude[14:10];
        fraction_next = magnitude[9:0];
      end
      TANH, GELU: begin
        beyond_next   = magnitude[31:14] != '0;
        place_next    = magnitude[13:9];
        fraction_next = {magnitude[8:0], 1'b0};
      end
      LOG2: begin
        place_next    = mantissa[30:26];
        fraction_next = mantissa[25:16];
      end
      default: ;
    endcase
  end
  always_ff @(posedge clk) begin
    a2       <= a;
    b2       <= b;
    zeros2   <= zeros;
    place    <= beyond_next ? 5'd31 : place_next;
    fraction <= beyond_next ? 10'd1023 : fraction_next;
    beyond   <= beyond_next;
  end
  wire unused = &{1'b0, mantissa[31], mantissa[15:0]};

  // 3: what is multiplied, what is added, and the shift.
  logic [1:0] table_of;
  logic [13:0] entry;
  logic signed [10:0] change;  // to the next entry
  logic signed [31:0] x_next, x;
  logic signed [15:0] slope, y_next, y;
  logic signed [33:0] wide_a, first_term, second_term, known, addend;
  logic negative, greater, minus, scaled_next, scaled;  // what is added counts 2^10 times
  logic [5:0] shift_next, by;
  logic signed [20:0] power;  // of two that an exponential is divided by
  assign table_of = op == GELU ? 2'd1 : op == EXP2 ? 2'd2 : op == LOG2 ? 2'd3 : 2'd0;
  lookup u_lookup (.which(table_of), .place(place), .entry(entry), .change(change));
  assign negative = a2[31];
  assign greater  = a2 > b2;
  assign wide_a   = {{2{a2[31]}}, a2};
  assign known    = $signed({20'b0, entry});
  assign slope    = {{5{change[10]}}, change};
  assign power    = 21'sd10 + $signed({15'b0, shift}) - $signed({a2[31], a2[31:12]});
  always_comb begin
    x_next      = $signed({22'b0, fraction});
    y_next      = slope;
    first_term  = '0;
    second_term = '0;
    minus       = 1'b0;
    scaled_next = 1'b1;
    shift_next  = 6'd10;
    case (op)
      ADD, SUBTRACT: begin
        y_next      = '0;
        first_term  = wide_a;
        second_term = {{2{b2[31]}}, b2};
        minus       = op == SUBTRACT;
        scaled_next = 1'b0;
        shift_next  = '0;
      end
      MULTIPLY: begin
        x_next     = a2;
        y_next     = b2[15:0];
        shift_next = shift;
      end
      MAXIMUM, MINIMUM: begin
        y_next      = '0;
        first_term  = greater == (op == MAXIMUM) ? wide_a : {{2{b2[31]}}, b2};
        scaled_next = 1'b0;
        shift_next  = '0;
      end
      LEAKY: begin
        x_next      = a2;
        y_next      = negative ? b2[15:0] : '0;
        first_term  = negative ? '0 : wide_a;
        scaled_next = 1'b0;
        shift_next  = negative ? shift : '0;
      end
      SIGMOID: begin
        y_next      = negative ? -slope : slope;
        first_term  = negative ? 34'sd4096 : '0;
        second_term = known;
        minus       = negative;
      end
      TANH: begin
        y_next      = (negative ? -slope : slope) <<< 1;
        first_term  = negative ? 34'sd4096 : -34'sd4096;
        second_term = known <<< 1;
        minus       = negative;
      end
      GELU: begin
        y_next      = beyond ? '0 : -slope;
        first_term  = negative ? '0 : wide_a;
        second_term = beyond ? '0 : known;
        minus       = 1'b1;
      end
      EXP2: begin
        second_term = known;
        shift_next  = power < 0 ? '0 : power > 21'(MOST_SHIFT) ? MOST_SHIFT : power[5:0];
      end
      LOG2: begin
        first_term  = (34'sd19 - $signed({29'b0, zeros2})) <<< 12;  // of the leading one
        second_term = known;
      end
      default: ;
    endcase
  end
  always_ff @(posedge clk) begin
    x      <= x_next;
    y      <= y_next;
    addend <= first_term + (minus ? ~second_term : second_term) + $signed({33'b0, minus});
    scaled <= scaled_next;
    by     <= shift_next;
  end

  // 4: product.
  logic signed [47:0] product;
  logic signed [49:0] addend4;
  logic [5:0] by4;
  always_ff @(posedge clk) begin
    product <= x * y;
    addend4 <= scaled ? {{6{addend[33]}}, addend, 10'b0} : {{16{addend[33]}}, addend};
    by4     <= by;
  end

  // 5: sum, shifted, rounded by the last bit that is lost, and saturated.
  logic signed [49:0] total, rounded;
  logic signed [50:0] shifted;
  logic signed [31:0] limited, result;
  assign total   = $signed({{2{product[47]}}, product}) + addend4;
  assign shifted = $signed({total, 1'b0}) >>> by4;
  assign rounded = $signed(shifted[50:1]) + $signed({49'b0, shifted[0]});
  assign limited = rounded[49:31] == '0 || rounded[49:31] == '1 ? rounded[31:0] : {rounded[49], {31{!rounded[49]}}};
  always_ff @(posedge clk) result <= relu && limited < 0 ? '0 : limited;

  // 6: reduction.
  logic signed [32:0] sum;
  assign sum = 33'(value) + 33'(result);
  always_ff @(posedge clk)
    if (there) begin
      if (reduce == 2'd0 || first) value <= result;
      else if (reduce == 2'd2) value <= result > value ? result : value;
      else value <= sum[32] == sum[31] ? sum[31:0] : {sum[32], {31{!sum[32]}}};
    end
endmodule
