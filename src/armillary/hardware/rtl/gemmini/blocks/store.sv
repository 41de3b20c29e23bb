// The store unit: rows of the accumulator to DRAM, requantised to bytes or as they are.
//
// A byte is sum * scale / 2^shift, rounded half up and saturated; ReLU makes it at least 0.
module store #(
    parameter int DIM   = 16,
    parameter int PITCH = 16,
    parameter int BUS   = 16,
    parameter int LOOPS = 4,
    parameter int WIDTH = 18
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   start,
    output logic                   idle,
    output logic                   finish,
    input  logic                   raw,            // write the 32-bit sums
    input  logic                   relu,
    input  logic [            5:0] shift,
    input  logic [           15:0] scale,
    input  logic [      WIDTH-1:0] run,            // rows that lie together
    input  logic [      WIDTH-1:0] row,
    input  logic [           31:0] address,
    input  logic [  LOOPS*128-1:0] loops,
    output logic                   read_want,
    output logic [      WIDTH-1:0] read_row,
    input  logic                   read_grant,
    input  logic [     DIM*32-1:0] read_data,
    output logic                   beat,
    output logic [           31:0] beat_address,
    output logic [      BUS*8-1:0] beat_data,
    input  logic                   beat_taken
);
  localparam int MOST = 4 * PITCH / BUS;
  localparam int COUNT = $clog2(MOST) + 1;

  // Which row next: the loop nest gives runs, `along` counts in a run.
  logic reading, is_raw, is_relu, ends_run, nest_last, step;
  logic [5:0] by;
  logic [15:0] factor;
  logic [WIDTH-1:0] length, along;
  logic [63:0] addresses;
  logic [LOOPS-1:0] unused_first;
  logic [31:0] unused_height, next_address;
  nest #(.LOOPS(LOOPS), .ADDRESSES(2), .WIDTH(32), .COUNT(WIDTH), .OFFSETS({8'd18, 8'd64})) runs (
      .clk, .start, .step, .words(loops), .skip('0), .bases({32'(row), address}), .addresses,
      .at_first(unused_first), .at_last(nest_last)
  );
  assign ends_run = along + 1'b1 == length;
  assign step = read_grant && ends_run;
  assign read_row = addresses[32+:WIDTH] + along;
  assign next_address = addresses[31:0] + 32'(along) * (is_raw ? 32'(4 * PITCH) : 32'(PITCH));
  assign unused_height = addresses[63:32];

  // Behind the accumulator: its answers in a queue, the product, the row that leaves beat by beat.
  localparam int ROOM = 3;
  logic answer, answer_last, none, all, fetched_last, product, product_last, leaving, leaving_last, moves, pops;
  logic [31:0] answer_address, fetched_address, product_address, leaving_address;
  logic [DIM*32-1:0] fetched, sums;
  logic signed [DIM-1:0][48:0] products;
  logic [PITCH*32-1:0] leaves, shaped;
  logic [COUNT-1:0] sent, last_beat;
  logic [1:0] room;

  fifo #(.WIDTH(DIM * 32 + 33), .DEPTH(ROOM)) answers (
      .clk, .reset, .push(answer), .in({answer_last, answer_address, read_data}),
      .pop(pops), .show(pops), .out({fetched_last, fetched_address, fetched}), .empty(none), .full(all)
  );
  assign read_want = reading && room != 0;
  assign pops = !none && (!product || moves);
  assign moves = !leaving || (beat_taken && sent == last_beat);
  assign idle = !reading && !answer && none && !product && !leaving;
  assign beat = leaving;
  assign last_beat = is_raw ? COUNT'(MOST - 1) : COUNT'(PITCH / BUS - 1);
  assign beat_address = leaving_address + 32'(sent) * 32'(BUS);
  assign beat_data = leaves[BUS*8-1:0];
  assign finish = leaving && beat_taken && sent == last_beat && leaving_last;

  function automatic logic [7:0] to_byte(input logic signed [48:0] value, input logic [5:0] bits, input logic positive);
    logic signed [48:0] halves;
    logic signed [48:0] rounded;
    halves  = bits == 0 ? value <<< 1 : value >>> (bits - 6'd1);
    rounded = (halves + 49'sd1) >>> 1;
    if (rounded < 0 && positive) to_byte = 8'd0;
    else if (rounded > 127) to_byte = 8'd127;
    else if (rounded < -128) to_byte = 8'h80;
    else to_byte = rounded[7:0];
  endfunction

  always_comb begin
    shaped = '0;
    if (moves && product)
      for (int d = 0; d < DIM; d++)
      if (is_raw) shaped[d*32+:32] = sums[d*32+:32];
      else shaped[d*8+:8] = to_byte(products[d], by, is_relu);
  end

  always_ff @(posedge clk) begin
    if (reset) begin
      reading <= 1'b0;
      answer  <= 1'b0;
      product <= 1'b0;
      leaving <= 1'b0;
      sent    <= '0;
      room    <= 2'(ROOM);
    end else begin
      if (start) begin
        reading <= 1'b1;
        is_raw  <= raw;
        is_relu <= relu;
        by      <= shift;
        factor  <= scale;
        length  <= run;
        along   <= '0;
      end else if (read_grant) begin
        along <= ends_run ? '0 : along + 1'b1;
        if (ends_run && nest_last) reading <= 1'b0;
      end
      answer <= read_grant;
      room   <= room + 2'(pops) - 2'(read_grant);
      if (read_grant) begin
        answer_last <= ends_run && nest_last;
        answer_address <= next_address;
      end
      if (pops) begin
        product_last <= fetched_last;
        product_address <= fetched_address;
        sums <= fetched;
        for (int d = 0; d < DIM; d++) products[d] <= $signed(fetched[d*32+:32]) * $signed({1'b0, factor});
      end
      product <= pops || (product && !moves);
      if (moves) begin
        leaving <= product;
        leaving_last <= product_last;
        leaving_address <= product_address;
        leaves <= shaped;
        sent <= '0;
      end else if (beat_taken && leaving) begin
        sent   <= sent + 1'b1;
        leaves <= leaves >> (BUS * 8);
      end
    end
  end
  wire unused = &{1'b0, unused_first, unused_height, all};
endmodule
