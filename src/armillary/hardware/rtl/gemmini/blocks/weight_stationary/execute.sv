// The execute unit of the weight-stationary array.
//
// One loop nest walks over the tiles of weights and reads each into the array; a second one, a tile behind, walks over
// the pixels of every tile. A pixel outside the input is a row of zeros. Its row of sums is added to the accumulator, or
// written, where every loop that reduces stands at its first iteration and the command begins its sums.
module execute #(
    parameter int DIM   = 16,
    parameter int PSUM  = 20,
    parameter int LOOPS = 12,
    parameter int WIDTH = 18
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   start,
    output logic                   ready,          // takes a command
    output logic                   finish,         // the sums of a command are in the accumulator
    input  logic                   fresh,
    input  logic [      LOOPS-1:0] resting,        // loops that do not index the weights, the innermost ones
    input  logic [      LOOPS-1:0] reduces,
    input  logic [      LOOPS-1:0] block,          // for the other dataflow, as the next
    input  logic [           11:0] channels,
    input  logic [      WIDTH-1:0] input_row,
    input  logic [      WIDTH-1:0] weight_row,
    input  logic [      WIDTH-1:0] output_row,
    input  logic [      WIDTH-1:0] y,
    input  logic [      WIDTH-1:0] x,
    input  logic [      WIDTH-1:0] height,         // pixels with y below it and x below `width` exist
    input  logic [      WIDTH-1:0] width,
    input  logic [  LOOPS*128-1:0] loops,
    output logic                   input_want,
    output logic [      WIDTH-1:0] input_want_row,
    input  logic                   input_grant,
    input  logic [      DIM*8-1:0] input_data,
    output logic                   weight_want,
    output logic [      WIDTH-1:0] weight_want_row,
    input  logic                   weight_grant,
    input  logic [      DIM*8-1:0] weight_data,
    output logic                   add,
    output logic                   add_fresh,
    output logic [      WIDTH-1:0] add_row,
    output logic [   DIM*PSUM-1:0] add_data,
    output logic                   issues,         // a pixel enters the array
    output logic                   conflicts       // one would, but its bank is taken
);
  localparam int COUNT = $clog2(DIM);

  // The weights of a tile: DIM rows, once the first pixel of the tile before has gone.
  logic walking, handed, hands, pixels_busy, tiles_last, tile_done, loaded, may_load, begins_granted;
  logic [COUNT-1:0] along;
  logic [WIDTH-1:0] tile_row;
  logic [LOOPS-1:0] unused_at_first;

  nest #(.LOOPS(LOOPS), .ADDRESSES(1), .WIDTH(WIDTH), .COUNT(WIDTH), .OFFSETS(8'd18)) tiles (
      .clk, .start, .step(tile_done), .words(loops), .skip(resting), .bases(weight_row), .addresses(tile_row),
      .at_first(unused_at_first), .at_last(tiles_last)
  );
  // The walk over tiles may be one command ahead of the walk over pixels, which takes the command when it is free.
  assign ready = !walking && handed;
  assign hands = !handed && !pixels_busy;

  always_ff @(posedge clk) begin
    if (reset) begin
      walking <= 1'b0;
      handed  <= 1'b1;
    end else if (start) begin
      walking <= 1'b1;
      handed  <= 1'b0;
    end else begin
      if (tile_done && tiles_last) walking <= 1'b0;
      if (hands) handed <= 1'b1;
    end
  end

  assign may_load = walking && (!loaded || begins_granted);
  assign weight_want = may_load;
  assign weight_want_row = tile_row + WIDTH'(along);
  assign tile_done = weight_grant && along == COUNT'(DIM - 1);

  logic weight_valid, weight_first;
  always_ff @(posedge clk) begin
    weight_valid <= weight_grant && !reset;
    weight_first <= along == '0;
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
  logic begins, outside, pixels_last, is_fresh, pixel_goes, walks;
  logic [4*WIDTH-1:0] at;
  logic [LOOPS-1:0] at_first, own_resting, own_reduces;
  logic [WIDTH-1:0] own_height, own_width;

  nest #(
      .LOOPS(LOOPS), .ADDRESSES(4), .WIDTH(WIDTH), .COUNT(WIDTH), .OFFSETS({8'd100, 8'd82, 8'd64, 8'd36})
  ) pixels (
      .clk, .start(hands), .step(pixel_goes), .words(loops), .skip('0), .bases({x, y, output_row, input_row}),
      .addresses(at), .at_first, .at_last(pixels_last)
  );
  always_ff @(posedge clk) begin
    if (reset) pixels_busy <= 1'b0;
    else if (hands) pixels_busy <= 1'b1;
    else if (pixel_goes && pixels_last) pixels_busy <= 1'b0;
    if (hands) begin
      own_height <= height;
      own_width <= width;
      own_resting <= resting;
      own_reduces <= reduces;
      is_fresh <= fresh;
    end
  end
  assign begins = &(at_first | ~own_resting);
  assign outside = at[2*WIDTH+:WIDTH] >= own_height || at[3*WIDTH+:WIDTH] >= own_width;
  assign walks = pixels_busy && (!begins || loaded);
  assign input_want = walks && !outside;
  assign input_want_row = at[0+:WIDTH];
  assign pixel_goes = walks && (outside || input_grant);
  assign begins_granted = pixel_goes && begins;
  assign issues = pixel_goes;
  assign conflicts = input_want && !input_grant;

  // What goes with a row through the array.
  logic in_valid, in_begins, in_outside;
  logic none, all, ends;
  always_ff @(posedge clk) begin
    in_valid   <= pixel_goes && !reset;
    in_begins  <= begins;
    in_outside <= outside;
  end
  systolic_array #(.DIM(DIM), .PSUM(PSUM)) systolic_array (
      .clk, .reset, .in_valid, .in_begins, .in_row(in_outside ? '0 : input_data),
      .weight_valid, .weight_first, .weight_row(weight_data), .out_valid(add), .out_row(add_data)
  );
  fifo #(.WIDTH(WIDTH + 2), .DEPTH(2 * DIM + 2)) targets (
      .clk, .reset, .push(pixel_goes),
      .in({pixels_last, is_fresh && &(at_first | ~own_reduces), at[WIDTH+:WIDTH]}),
      .pop(add), .show(1'b1), .out({ends, add_fresh, add_row}), .empty(none), .full(all)
  );
  logic ended;
  always_ff @(posedge clk) ended <= add && ends && !reset;  // the sum is written a cycle after it is added
  assign finish = ended;
  wire unused = &{1'b0, unused_at_first, none, all, block, channels};
endmodule
