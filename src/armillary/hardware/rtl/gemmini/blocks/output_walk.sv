// The walk of an execute command that holds sums in the array.
//
// A block is as many pixels as the array has rows, or fewer, and one block of outputs. It takes a step for every
// iteration of the loops that reduce: the pixels of the step go row by row into one half of a transposer, while the
// other half gives the array a channel of all pixels per cycle, beside that channel's row of weights. The sums leave
// while the next block is at work, or after the last one; `target` says where each row of them belongs.
module output_walk #(
    parameter int DIM   = 16,
    parameter int LOOPS = 12,
    parameter int WIDTH = 18,  // of a row
    parameter int PIXEL = 18,  // of a coordinate
    parameter int SLOTS = 5,
    parameter int SLOT  = $clog2(SLOTS),
    parameter int LOOP  = $clog2(LOOPS)
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   put,
    input  logic [       SLOT-1:0] put_slot,
    input  logic [       LOOP-1:0] put_loop,
    input  logic [          127:0] put_words,
    input  logic                   start,
    output logic                   ready,          // takes a command
    input  logic                   fresh,
    input  logic [      LOOPS-1:0] resting,        // loops inside a block, over its pixels or reducing
    input  logic [      LOOPS-1:0] reduces,
    input  logic [      LOOPS-1:0] block,          // loops over the pixels of a block
    input  logic [           11:0] channels,       // of a step
    input  logic [           11:0] pixels_of_block,
    input  logic [      WIDTH-1:0] input_row,
    input  logic [      WIDTH-1:0] weight_row,
    input  logic [      WIDTH-1:0] output_row,
    input  logic [      PIXEL-1:0] y,
    input  logic [      PIXEL-1:0] x,
    input  logic [      PIXEL-1:0] height,         // pixels with y below it and x below `width` exist
    input  logic [      PIXEL-1:0] width,
    input  logic [       SLOT-1:0] slot,           // where the words of its loops lie
    input  logic [      LOOPS-1:0] turning,        // loops that it has
    output logic                   input_want,
    output logic [      WIDTH-1:0] input_want_row,
    input  logic                   input_grant,
    input  logic [      DIM*8-1:0] input_data,
    output logic                   weight_want,
    output logic [      WIDTH-1:0] weight_want_row,
    input  logic                   weight_grant,
    output logic                   in_valid,       // into the array, as the next ones
    output logic                   in_begins,
    output logic [      DIM*8-1:0] in_row,         // a channel of all pixels
    output logic                   request,        // a row of sums leaves it: its place
    output logic                   request_first,  // of a block
    output logic                   target_last,    // of the command
    output logic                   target_fresh,   // it begins its sum
    output logic [      WIDTH-1:0] target_row,
    output logic                   issues,         // a channel enters the array
    output logic                   conflicts       // a pixel or a channel waits for its bank
);
  localparam int COUNT = $clog2(DIM);
  localparam logic [COUNT:0] NONE = '0;

  // The pixels of each step into a half of the transposer, as soon as it is empty. The nest is two
  // pixels ahead, so that nothing late decides whether it steps.
  logic walks_pixels, pixels_full, reading, pixels_busy, outside, pixel_goes, step_whole, half_in;
  logic [1:0] filled, fills, empties;
  logic [COUNT-1:0] place;
  logic [COUNT:0] own_pixels;
  logic [3*PIXEL-1:0] at;
  logic [LOOPS-1:0] at_first, pixels_end;
  logic [PIXEL-1:0] own_height, own_width;

  nest #(
      .LOOPS(LOOPS), .ADDRESSES(3), .WIDTH(PIXEL), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS({8'd100, 8'd82, 8'd36})
  ) pixels (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning,
      .bases({x, y, PIXEL'(input_row)}), .busy(pixels_busy), .valid(walks_pixels),
      .step(walks_pixels && !pixels_full), .addresses(at), .at_first, .at_end(pixels_end)
  );
  fifo #(.WIDTH(WIDTH + 1), .DEPTH(2)) pixels_ahead (
      .clk, .reset, .push(walks_pixels && !pixels_full),
      .in({at[PIXEL+:PIXEL] >= own_height || at[2*PIXEL+:PIXEL] >= own_width, at[WIDTH-1:0]}),
      .pop(pixel_goes), .out({outside, input_want_row}), .there(reading), .full(pixels_full)
  );
  assign input_want = reading && !filled[half_in] && !outside;
  assign pixel_goes = reading && !filled[half_in] && (outside || input_grant);
  assign step_whole = pixel_goes && {1'b0, place} + 1'b1 == own_pixels;

  logic kept_goes, kept_outside, kept_half;
  logic [COUNT-1:0] kept_place;
  always_ff @(posedge clk) begin
    if (reset) begin
      place   <= '0;
      half_in <= 1'b0;
    end else if (start) place <= '0;
    else if (pixel_goes) begin
      place <= step_whole ? '0 : place + 1'b1;
      if (step_whole) half_in <= !half_in;
    end
    if (start) begin
      own_height <= height;
      own_width <= width;
      own_pixels <= pixels_of_block[COUNT:0];
    end
    kept_goes <= pixel_goes && !reset;
    kept_outside <= outside;
    kept_half <= half_in;
    kept_place <= place;
  end

  // A channel of a whole step per cycle, with its row of weights.
  logic walks_weights, weights_full, step_begins, walking, weights_busy, weights_last, feeds, half_out, step_done, begins;
  logic block_begins, drained, flushes, flushing, may_feed;
  logic [11:0] channel, own_channels;
  logic [WIDTH-1:0] nest_at, weights_at;
  logic [LOOPS-1:0] weights_first, weights_end, own_resting;
  nest #(.LOOPS(LOOPS), .ADDRESSES(1), .WIDTH(WIDTH), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS(8'd18)) weights (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning(turning & ~block),
      .bases(weight_row), .busy(weights_busy), .valid(walks_weights), .step(walks_weights && !weights_full),
      .addresses(nest_at), .at_first(weights_first), .at_end(weights_end)
  );
  fifo #(.WIDTH(WIDTH + 2), .DEPTH(2)) weights_ahead (
      .clk, .reset, .push(walks_weights && !weights_full),
      .in({&weights_end, &(weights_first | ~own_resting), nest_at}), .pop(step_done),
      .out({weights_last, step_begins, weights_at}), .there(walking), .full(weights_full)
  );
  assign block_begins = step_begins && channel == 0;
  assign may_feed = walking && filled[half_out] && (!block_begins || drained);
  assign weight_want = may_feed;
  assign weight_want_row = weights_at + WIDTH'(channel);
  assign feeds = weight_grant;
  assign begins = feeds && block_begins;
  assign step_done = feeds && channel + 1'b1 == own_channels;
  assign flushes = flushing && drained;
  assign issues = feeds;
  assign conflicts = (weight_want && !weight_grant) || (input_want && !input_grant);

  logic in_flush;
  for (genvar r = 0; r < DIM; r++) begin : g_place
    transposer_row #(.DIM(DIM)) transposer_row (
        .clk, .write(kept_goes && kept_place == COUNT'(r)), .write_half(kept_half),
        .in(kept_outside ? '0 : input_data), .choose(may_feed), .half(half_out), .channel(channel[COUNT-1:0]),
        .show(in_valid && !in_flush), .out(in_row[r*8+:8])
    );
  end
  always_ff @(posedge clk) begin
    if (reset) begin
      flushing <= 1'b0;
      half_out <= 1'b0;
    end else begin
      if (step_done && weights_last) flushing <= 1'b1;
      else if (flushes) flushing <= 1'b0;
      if (step_done) half_out <= !half_out;
    end
    if (start) begin
      own_channels <= channels;
      own_resting <= resting;
      channel <= '0;
    end else if (feeds) channel <= step_done ? '0 : channel + 1'b1;
    in_valid <= (feeds || flushes) && !reset;
    in_begins <= begins || flushes;
    in_flush <= flushes;
  end

  // A half is filled from its last pixel to its last channel; that is read a cycle later, which the next pixel's way
  // through the scratchpad outlasts.
  always_comb begin
    fills = '0;
    empties = '0;
    if (step_whole) fills[half_in] = 1'b1;
    if (step_done) empties[half_out] = 1'b1;
  end
  always_ff @(posedge clk) filled <= reset ? '0 : (filled | fills) & ~empties;

  // Results are asked for once the next block, or the flush, has begun. The first block has none before it.
  logic any, asking, asks, asks_last, idle;
  logic [COUNT:0] to_ask;
  logic [LOOPS-1:0] outputs_first, outputs_end, own_reduces;
  logic outputs_busy, outputs_there;
  logic [WIDTH-1:0] output_at;
  logic is_fresh;
  nest #(.LOOPS(LOOPS), .ADDRESSES(1), .WIDTH(WIDTH), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS(8'd64)) outputs (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning(turning & ~(resting & ~block)),
      .bases(output_row), .busy(outputs_busy), .valid(outputs_there), .step(asks), .addresses(output_at),
      .at_first(outputs_first), .at_end(outputs_end)
  );
  assign drained = to_ask == NONE && !in_begins;
  assign asks = to_ask != NONE;
  assign asks_last = asks && &outputs_end;
  always_ff @(posedge clk) begin
    if (reset) begin
      any <= 1'b0;
      to_ask <= '0;
    end else begin
      if (start) any <= 1'b0;
      else if (begins) any <= 1'b1;
      if (in_begins && (in_flush || asking)) to_ask <= own_pixels;
      else if (asks) to_ask <= to_ask - 1'b1;
    end
    asking <= begins && any;
    if (start) begin
      is_fresh <= fresh;
      own_reduces <= reduces;
    end
  end

  always_ff @(posedge clk)
    if (reset) idle <= 1'b1;
    else if (start) idle <= 1'b0;
    else if (asks_last) idle <= 1'b1;
  assign ready = idle;
  assign request = asks;
  assign request_first = to_ask == own_pixels;
  assign target_last = asks_last;
  assign target_fresh = is_fresh && &(outputs_first | ~own_reduces);
  assign target_row = output_at;
  wire unused = &{
    1'b0, at, at_first, pixels_busy, pixels_end, weights_busy, outputs_busy, outputs_there, pixels_of_block
  };
endmodule
