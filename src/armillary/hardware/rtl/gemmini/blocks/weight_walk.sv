// The walk of an execute command that holds weights in the array.
//
// One loop nest walks over the tiles of weights and reads each into the array; a second one, a tile behind, walks over
// the pixels of every tile. A pixel outside the input is a row of zeros. Its row of sums is added to the accumulator, or
// written, where every loop that reduces stands at its first iteration and the command begins its sums: `target` says
// which, for the sums in the order in which they leave the array.
//
// A run is what an array with instructions would compute in one: pixels of loop 0 with the same weights, at most as
// many as the array has rows. Its first pixel comes `least_run` cycles after that of the run before, or later.
module weight_walk #(
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
    input  logic [            6:0] least_run,      // 0: as fast as can be
    input  logic                   put,
    input  logic [       SLOT-1:0] put_slot,
    input  logic [       LOOP-1:0] put_loop,
    input  logic [          127:0] put_words,
    input  logic                   start,
    output logic                   ready,          // takes a command
    input  logic                   fresh,
    input  logic [      LOOPS-1:0] resting,        // loops that do not index the weights, the innermost ones
    input  logic [      LOOPS-1:0] reduces,
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
    output logic [      DIM*8-1:0] in_row,
    output logic                   weight_valid,
    output logic                   weight_first,
    output logic                   target,         // a row of sums will leave it: its place
    output logic                   target_last,    // of the command
    output logic                   target_fresh,   // it begins its sum
    output logic [      WIDTH-1:0] target_row,
    output logic                   issues,         // a pixel enters the array
    output logic                   conflicts       // one would, but its bank is taken
);
  localparam int COUNT = $clog2(DIM);

  // The weights of a tile: DIM rows, once the first pixel of the tile before has gone. The nests are two tiles and two
  // pixels ahead, so that nothing late decides whether they step.
  logic walks_tiles, walking, tiles_full, handed, hands, tiles_busy, pixels_busy, tile_done, loaded, begins_granted;
  logic [COUNT-1:0] along;
  logic [WIDTH-1:0] nest_row, tile_row, next_row;
  logic [LOOPS-1:0] unused_at_first, tiles_end;

  nest #(.LOOPS(LOOPS), .ADDRESSES(1), .WIDTH(WIDTH), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS(8'd18)) tiles (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning(turning & ~resting),
      .bases(weight_row), .busy(tiles_busy), .valid(walks_tiles), .step(walks_tiles && !tiles_full), .addresses(nest_row),
      .at_first(unused_at_first), .at_end(tiles_end)
  );
  fifo #(.WIDTH(WIDTH), .DEPTH(2)) tiles_ahead (
      .clk, .reset, .push(walks_tiles && !tiles_full), .in(nest_row), .pop(tile_done), .out(tile_row), .there(walking),
      .full(tiles_full)
  );
  // The walk over tiles may be one command ahead of the walk over pixels, which takes the command when it is free.
  assign ready = !tiles_busy && handed;
  assign hands = !handed && !pixels_busy;
  logic [SLOT-1:0] its_slot;
  always_ff @(posedge clk) begin
    handed <= reset || (!start && (handed || hands));
    if (start) its_slot <= slot;
  end

  assign weight_want = walking && !loaded;
  assign weight_want_row = along == '0 ? tile_row : next_row;
  assign tile_done = weight_grant && along == COUNT'(DIM - 1);

  always_ff @(posedge clk) begin
    weight_valid <= weight_grant && !reset;
    weight_first <= along == '0;
    if (weight_grant) next_row <= weight_want_row + 1'b1;
    if (reset) begin
      along  <= '0;
      loaded <= 1'b0;
    end else begin
      if (weight_grant) along <= tile_done ? '0 : along + 1'b1;
      if (tile_done) loaded <= 1'b1;
      else if (begins_granted) loaded <= 1'b0;
    end
  end

  // The pixels.
  localparam int AHEAD = 2 * WIDTH + 5;
  logic walks_pixels, pixels_full, there, begins, outside, begins_run, own_fresh, tile_begins;
  logic [4*PIXEL-1:0] at;
  logic [LOOPS-1:0] at_first, at_end, own_resting, own_reduces;
  logic [PIXEL-1:0] own_height, own_width;

  nest #(
      .LOOPS(LOOPS), .ADDRESSES(4), .WIDTH(PIXEL), .COUNT(WIDTH), .SLOTS(SLOTS),
      .OFFSETS({8'd100, 8'd82, 8'd64, 8'd36})
  ) pixels (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start(hands), .slot(its_slot), .turning,
      .bases({x, y, PIXEL'(output_row), PIXEL'(input_row)}), .busy(pixels_busy), .valid(walks_pixels),
      .step(walks_pixels && !pixels_full), .addresses(at), .at_first, .at_end
  );
  always_ff @(posedge clk)
    if (hands) begin
      own_height <= height;
      own_width <= width;
      own_resting <= resting;
      own_reduces <= reduces;
      own_fresh <= fresh;
    end
  assign tile_begins = &(at_first | ~own_resting);
  fifo #(.WIDTH(AHEAD), .DEPTH(2)) pixels_ahead (
      .clk, .reset, .push(walks_pixels && !pixels_full),
      .in({
        tile_begins, tile_begins || at_first[0],
        at[2*PIXEL+:PIXEL] >= own_height || at[3*PIXEL+:PIXEL] >= own_width,
        &at_end, own_fresh && &(at_first | ~own_reduces), at[PIXEL+:WIDTH], at[0+:WIDTH]
      }),
      .pop(pixel_goes), .out({begins, begins_run, outside, target_last, target_fresh, target_row, input_want_row}), .there,
      .full(pixels_full)
  );

  logic pixel_goes, walks, run_begins;
  logic [6:0] since;         // the first pixel of the run, in cycles, as far as that counts
  logic [COUNT-1:0] in_run;  // pixels of the run that have gone; none after as many as the array has rows
  assign run_begins = begins_run || in_run == '0;
  assign walks = there && (!begins || loaded) && (!run_begins || since >= least_run);
  assign input_want = walks && !outside;
  assign pixel_goes = walks && (outside || input_grant);
  assign begins_granted = pixel_goes && begins;
  assign issues = pixel_goes;
  always_ff @(posedge clk) begin
    if (reset) in_run <= '0;
    else if (pixel_goes) in_run <= run_begins ? COUNT'(1) : in_run == COUNT'(DIM - 1) ? '0 : in_run + 1'b1;
    if (reset) since <= '1;
    else if (pixel_goes && run_begins) since <= 7'd1;
    else since <= since + 7'(since != '1);
  end
  assign conflicts = input_want && !input_grant;

  // What goes with a row into the array.
  logic in_outside;
  always_ff @(posedge clk) begin
    in_valid   <= pixel_goes && !reset;
    in_begins  <= begins;
    in_outside <= outside;
  end
  assign in_row = in_outside ? '0 : input_data;
  assign target = pixel_goes;
  wire unused = &{1'b0, unused_at_first, tiles_end, at};
endmodule
