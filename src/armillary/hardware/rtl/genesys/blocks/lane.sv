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
  logic [31:0] magnitude, positive, mantissa;
  logic [4:0] zeros;  // above the leading one
  logic [4:0] place_next, place;
  logic [9:0] fraction_next, fraction;  // of the way to the next entry, in parts of 1024
  logic beyond_next, beyond;            // the last entry
  logic signed [31:0] a2, b2;
  logic [4:0] zeros2;
  assign magnitude = a < 0 ? -a : a;
  assign positive  = a > 0 ? a : 32'd1;
  always_comb begin
    zeros = '0;
    for (int i = 0; i < 32; i++) if (positive[i]) zeros = 5'(31 - i);
  end
  assign mantissa = positive << zeros;
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
  logic signed [31:0] x_next, x, whole;
  logic signed [15:0] slope, y_next, y;
  logic signed [49:0] addend_next, addend, centred;
  logic [5:0] shift_next, by;
  logic signed [20:0] power;  // of two that an exponential is divided by
  assign table_of = op == GELU ? 2'd1 : op == EXP2 ? 2'd2 : op == LOG2 ? 2'd3 : 2'd0;
  lookup u_lookup (.which(table_of), .place(place), .entry(entry), .change(change));
  assign slope   = {{5{change[10]}}, change};
  assign centred = $signed({35'b0, entry, 1'b0}) - 50'sd4096;  // 2 s - 1
  assign whole   = (32'sd19 - $signed({27'b0, zeros2})) <<< 12;  // log2 of the leading one
  assign power   = 21'sd10 + $signed({15'b0, shift}) - $signed({a2[31], a2[31:12]});
  always_comb begin
    x_next      = $signed({22'b0, fraction});
    y_next      = slope;
    addend_next = '0;
    shift_next  = 6'd10;
    case (op)
      ADD, SUBTRACT: begin
        y_next      = '0;
        addend_next = op == ADD ? 50'(a2) + 50'(b2) : 50'(a2) - 50'(b2);
        shift_next  = '0;
      end
      MULTIPLY: begin
        x_next     = a2;
        y_next     = b2[15:0];
        shift_next = shift;
      end
      MAXIMUM, MINIMUM: begin
        y_next      = '0;
        addend_next = 50'((a2 > b2) == (op == MAXIMUM) ? a2 : b2);
        shift_next  = '0;
      end
      LEAKY: begin
        x_next      = a2;
        y_next      = a2 < 0 ? b2[15:0] : '0;
        addend_next = a2 < 0 ? '0 : 50'(a2);
        shift_next  = a2 < 0 ? shift : '0;
      end
      SIGMOID: begin
        y_next      = a2 < 0 ? -slope : slope;
        addend_next = (a2 < 0 ? 50'sd4096 - $signed({36'b0, entry}) : $signed({36'b0, entry})) <<< 10;
      end
      TANH: begin
        y_next      = (a2 < 0 ? -slope : slope) <<< 1;
        addend_next = (a2 < 0 ? -centred : centred) <<< 10;
      end
      GELU: begin
        y_next      = beyond ? '0 : -slope;
        addend_next = ((a2 < 0 ? 50'sd0 : 50'(a2)) - (beyond ? 50'sd0 : $signed({36'b0, entry}))) <<< 10;
      end
      EXP2: begin
        addend_next = $signed({36'b0, entry}) <<< 10;
        shift_next  = power < 0 ? '0 : power > 21'(MOST_SHIFT) ? MOST_SHIFT : power[5:0];
      end
      LOG2: addend_next = ($signed({36'b0, entry}) + 50'(whole)) <<< 10;
      default: ;
    endcase
  end
  always_ff @(posedge clk) begin
    x      <= x_next;
    y      <= y_next;
    addend <= addend_next;
    by     <= shift_next;
  end

  // 4: product.
  logic signed [47:0] product;
  logic signed [49:0] addend4;
  logic [5:0] by4;
  always_ff @(posedge clk) begin
    product <= x * y;
    addend4 <= addend;
    by4     <= by;
  end

  // 5: sum, rounded and saturated.
  logic signed [49:0] half, total, shifted;
  logic signed [31:0] limited, result;
  assign half    = by4 == '0 ? '0 : 50'sd1 <<< (by4 - 1'b1);
  assign total   = 50'(product) + addend4 + half;
  assign shifted = total >>> by4;
  assign limited = shifted[49:31] == '0 || shifted[49:31] == '1 ? shifted[31:0] : {shifted[49], {31{!shifted[49]}}};
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
