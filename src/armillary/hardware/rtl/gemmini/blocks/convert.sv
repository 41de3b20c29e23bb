// Rows of 32-bit sums to rows of bytes, DIM lanes in step, LATENCY cycles of `advance` later.
//
// Fixed: sum * scale[15:0] / 2^shift, rounded half up. Floating: the sum as binary32, times the binary32 `scale`, each
// rounded to nearest even, then rounded to an integer, half to even. Both are clamped to [low, high]. `scale` is a
// positive normal number.
//
// The settings may change only while no valid row is in here.
module convert #(
    parameter int DIM = 16,
    parameter int TAG = 33
) (
    input  logic                  clk,
    input  logic                  reset,
    input  logic                  advance,    // every stage moves
    input  logic                  valid_in,
    input  logic [       TAG-1:0] tag_in,     // goes along with the row
    input  logic [    DIM*32-1:0] sums,
    input  logic                  floating,
    input  logic [          31:0] scale,
    input  logic [           5:0] shift,
    input  logic signed [    7:0] low,
    input  logic signed [    7:0] high,
    output logic                  valid_out,
    output logic [       TAG-1:0] tag_out,
    output logic [     DIM*8-1:0] bytes,
    output logic                  busy        // a valid row in any stage
);
  localparam int LATENCY = 9;
  logic [LATENCY-1:0] valid, moves;
  logic [TAG-1:0] tags[LATENCY];

  // Stages without a row stay as they are.
  assign moves = advance ? {valid[LATENCY-2:0], valid_in} : '0;
  assign valid_out = valid[LATENCY-1];
  assign tag_out = tags[LATENCY-1];
  assign busy = valid != 0;
  always_ff @(posedge clk) begin
    if (reset) valid <= '0;
    else if (advance) valid <= {valid[LATENCY-2:0], valid_in};
    if (moves[0]) tags[0] <= tag_in;
    for (int s = 1; s < LATENCY; s++) if (moves[s]) tags[s] <= tags[s-1];
  end

  // What all lanes make of the settings. A row needs it a cycle after it comes in, or later.
  // A floating product is mantissa * factor / 2^(142 - exponent), of 24 bits each; lanes know the mantissa's exponent.
  logic [23:0] factor;
  logic signed [8:0] drop;
  logic signed [7:0] least, most;
  assign factor = floating ? {1'b1, scale[22:0]} : {8'd0, scale[15:0]};
  always_ff @(posedge clk) begin
    drop  <= floating ? 9'sd142 - $signed({1'b0, scale[30:23]}) : $signed({3'd0, shift});
    least <= low;
    most  <= high;
  end

  for (genvar d = 0; d < DIM; d++) begin : g_lane
    convert_lane lane (
        .clk, .moves, .sum(sums[d*32+:32]), .floating, .factor, .drop, .low(least), .high(most),
        .result(bytes[d*8+:8])
    );
  end
  wire unused = &{1'b0, scale[31]};
endmodule
