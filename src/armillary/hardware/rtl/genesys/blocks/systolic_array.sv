// The array: a word of inputs, an element per row, goes in; as many cycles later a word of sums, an element per column.
//
// Row m takes its input m cycles after row 0, column n gives its sum n cycles after column 0; both are straightened here.
// A word is 2 * ARRAY + 1 cycles from in to sums.
module systolic_array #(
    parameter int ARRAY  = 16,
    parameter int DATA   = 8,
    parameter int WEIGHT = 8,
    parameter int PSUM   = 20
) (
    input  logic                    clk,
    input  logic [  ARRAY*DATA-1:0] in,
    input  logic                    in_begins,     // first word of a block
    input  logic [       ARRAY-1:0] weight_write,  // row
    input  logic [ARRAY*WEIGHT-1:0] weights,       // of a row
    output logic [  ARRAY*PSUM-1:0] sums
);
  for (genvar m = 0; m < ARRAY; m++) begin : g_row
    logic [DATA:0] late;
    delay #(.WIDTH(DATA + 1), .CYCLES(m)) u_late (.clk(clk), .in({in_begins, in[m*DATA+:DATA]}), .out(late));
    for (genvar n = 0; n < ARRAY; n++) begin : g_column
      logic signed [DATA-1:0] given, passed;
      logic signed [PSUM-1:0] above, sum;
      logic begins, passed_begins;
      if (n == 0) begin : g_first
        assign {begins, given} = late;
      end else begin : g_next
        assign given  = g_column[n-1].passed;
        assign begins = g_column[n-1].passed_begins;
      end
      if (m == 0) begin : g_top
        assign above = '0;
      end else begin : g_below
        assign above = g_row[m-1].g_column[n].sum;
      end
      pe #(.DATA(DATA), .WEIGHT(WEIGHT), .PSUM(PSUM)) u_pe (
          .clk(clk), .in(given), .in_begins(begins), .out(passed), .out_begins(passed_begins),
          .weight_write(weight_write[m]), .weight_in(weights[n*WEIGHT+:WEIGHT]), .sum_in(above), .sum_out(sum)
      );
      if (n == ARRAY - 1) begin : g_last
        wire unused = &{1'b0, passed, passed_begins};
      end
    end
  end
  for (genvar n = 0; n < ARRAY; n++) begin : g_straight
    delay #(.WIDTH(PSUM), .CYCLES(ARRAY - 1 - n)) u_straight (
        .clk(clk), .in(g_row[ARRAY-1].g_column[n].sum), .out(sums[n*PSUM+:PSUM])
    );
  end
endmodule
