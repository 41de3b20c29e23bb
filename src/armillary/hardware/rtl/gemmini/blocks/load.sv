// The load unit: rows from DRAM into the scratchpad, the accumulator or the tables of the store unit.
//
// A loop nest gives runs of rows that lie together in DRAM; each run is asked for in bursts, of which a bounded number
// may be under way. No burst crosses a boundary of 4 KiB or has more than 256 beats. Answers come in order. On chip, the
// rows of a run lie `stride` apart. The accumulator takes 32-bit rows, or rows of bytes times a scale of eight bits
// shifted to the left; it replaces its sums or adds to them. A repeated row is read once and fills all rows of its run.
// Rows for the scratchpad may go through the transposer: then each step of the nest is a row, `run` of them are a block,
// and `stride` says how many rows a block becomes. The accumulator and the transposer may make rows wait; those for the
// tables are always taken.
module load #(
    parameter int DIM         = 16,
    parameter int PITCH       = 16,  // bytes from one row to the next in DRAM, a power of two
    parameter int BUS         = 16,  // bytes per beat, at most PITCH
    parameter int OUTSTANDING = 8,
    parameter int DEPTH       = 4,   // commands that are not finished
    parameter int LOOPS       = 4,
    parameter int WIDTH       = 18,  // of a row, or of the rows of a run
    parameter int SLOTS       = 5,
    parameter int SLOT        = $clog2(SLOTS),
    parameter int LOOP        = $clog2(LOOPS)
) (
    input  logic              clk,
    input  logic              reset,
    input  logic [       6:0] burst,           // most rows per request
    input  logic [       6:0] most_held,       // most requests under way
    input  logic              put,
    input  logic [  SLOT-1:0] put_slot,
    input  logic [  LOOP-1:0] put_loop,
    input  logic [     127:0] put_words,
    input  logic              start,
    output logic              idle,
    output logic              finish,
    input  logic [  SLOT-1:0] slot,
    input  logic [ LOOPS-1:0] turning,
    input  logic              to_accumulator,
    input  logic              narrow,          // bytes into the accumulator; if not to there, into the tables
    input  logic              adds,
    input  logic              repeats,
    input  logic              transposes,
    input  logic [       7:0] scale,
    input  logic [       3:0] shift,
    input  logic [ WIDTH-1:0] run,             // rows per run
    input  logic [ WIDTH-1:0] stride,
    input  logic [ WIDTH-1:0] row,
    input  logic [      31:0] address,
    output logic              request,
    input  logic              request_taken,
    output logic [      31:0] request_address,
    output logic [       8:0] request_beats,
    input  logic              beat,
    input  logic [ BUS*8-1:0] beat_data,
    output logic              beat_taken,
    output logic              write,
    output logic              write_table,     // likewise, row and data
    output logic [ WIDTH-1:0] write_row,
    output logic [ DIM*8-1:0] write_data,
    output logic              fill,
    output logic              fill_adds,
    input  logic              fill_taken,
    output logic [ WIDTH-1:0] fill_row,
    output logic [DIM*32-1:0] fill_data
);
  localparam int BEATS = PITCH / BUS;  // per row of bytes
  localparam int NARROW = $clog2(PITCH);  // of the bytes of a row
  localparam int HELD = $clog2(OUTSTANDING + 1);
  localparam int ROWS = 7;  // of the number of rows in a burst

  // Requests.
  logic walking, asks_last, runs_last, wide, single;
  logic [WIDTH-1:0] length, asked, left;
  logic [ROWS-1:0] now;
  logic [63:0] addresses;
  logic [LOOPS-1:0] unused_first, ends;
  logic [HELD-1:0] held;
  logic opening;

  nest #(
      .LOOPS(LOOPS), .ADDRESSES(2), .WIDTH(32), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS({8'd18, 8'd64})
  ) runs (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning, .bases({32'(row), address}),
      .busy(opening), .valid(walking), .step(request && request_taken && asks_last), .addresses,
      .at_first(unused_first), .at_end(ends)
  );
  assign request_address = addresses[31:0] + (wide ? 32'(asked) << (NARROW + 2) : 32'(asked) << NARROW);
  assign left = single ? WIDTH'(1) : length - asked;
  burst #(.PITCH(PITCH), .BUS(BUS), .WIDTH(WIDTH), .ROWS(ROWS)) next (
      .wide(wide), .most(burst), .address(request_address[11:0]), .left(left), .rows(now)
  );
  assign asks_last = single || asked + WIDTH'(now) == length;
  assign runs_last = &ends;
  assign request = walking && 7'(held) < most_held;
  assign request_beats = 9'(now) * (wide ? 9'(4 * BEATS) : 9'(BEATS));
  assign idle = !opening;

  always_ff @(posedge clk)
    if (start) begin
      wide <= to_accumulator && !narrow;
      single <= repeats || transposes;
      length <= run;
      asked <= '0;
    end else if (request && request_taken) asked <= asks_last ? '0 : asked + WIDTH'(now);

  // Answers. What a command says of all its rows waits in a queue of its own.
  localparam int SETTINGS = 5 + 12 + 2 * WIDTH;
  logic none, full, settings_none, settings_full, answers_last, begins, row_whole, row_there, row_taken, last_row, done;
  logic to_sums, is_narrow, is_wide, is_repeated, is_transposed, is_free;
  logic [7:0] own_scale;
  logic [3:0] own_shift;
  logic [ROWS-1:0] rows;
  logic [WIDTH-1:0] run_row, stride_of_rows, fills, taken, next_row, at_row;
  logic [DIM*32-1:0] whole, scaled;
  fifo #(.WIDTH(SETTINGS), .DEPTH(DEPTH)) settings (
      .clk, .reset, .push(start), .in({to_accumulator, narrow, adds, repeats, transposes, scale, shift, stride, run}),
      .pop(finish), .show(1'b1),
      .out({to_sums, is_narrow, fill_adds, is_repeated, is_transposed, own_scale, own_shift, stride_of_rows, fills}),
      .empty(settings_none), .full(settings_full)
  );
  fifo #(.WIDTH(WIDTH + ROWS + 2), .DEPTH(OUTSTANDING)) on_the_way (
      .clk, .reset, .push(request && request_taken),
      .in({asks_last && runs_last, asked == 0, addresses[32+:WIDTH], now}), .pop(done), .show(1'b1),
      .out({answers_last, begins, run_row, rows}), .empty(none), .full
  );
  assign is_wide = to_sums && !is_narrow;
  gather #(.BUS(BUS), .PITCH(PITCH), .DIM(DIM)) gather (
      .clk, .reset, .wide(is_wide), .show(beat && !none), .take(beat && beat_taken), .beat_data, .complete(row_whole),
      .row(whole)
  );
  // A repeated row stays until it has filled the last one.
  assign row_there = row_whole && beat && !none;
  assign row_taken = row_there && is_free;
  assign last_row = taken + 1'b1 == (is_repeated ? fills : WIDTH'(rows));
  assign beat_taken = !none && (!row_whole || (is_free && (!is_repeated || last_row)));
  assign done = row_taken && last_row;
  assign finish = done && answers_last;
  assign at_row = begins && taken == 0 ? run_row : next_row;
  logic place_free;
  transposer #(.DIM(DIM), .WIDTH(WIDTH)) transposer (
      .clk, .reset, .transposes(is_transposed), .block(fills), .becomes(stride_of_rows),
      .in_valid(row_there && !to_sums && !is_narrow), .in(whole[DIM*8-1:0]), .row(at_row), .taken(place_free),
      .write, .write_row, .write_data
  );
  assign is_free = to_sums ? fill_taken : place_free;
  assign write_table = row_taken && !to_sums && is_narrow;
  assign fill = row_there && to_sums;
  assign fill_row = at_row;
  always_comb begin
    scaled = '0;
    if (fill && is_narrow)
      for (int d = 0; d < DIM; d++)
      scaled[d*32+:32] = 32'($signed(whole[d*8+:8]) * $signed({1'b0, own_scale})) << own_shift;
  end
  assign fill_data = is_narrow ? scaled : whole;

  always_ff @(posedge clk) begin
    if (row_taken) next_row <= at_row + stride_of_rows;
    if (reset) begin
      taken <= '0;
      held  <= '0;
    end else begin
      if (row_taken) taken <= last_row ? '0 : taken + 1'b1;
      held <= held + HELD'(request && request_taken) - HELD'(done);
    end
  end
  wire unused = &{1'b0, full, settings_none, settings_full, unused_first, addresses[63:32+WIDTH]};
endmodule
