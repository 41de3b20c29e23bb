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
    output logic [       7:0] request_length,  // beats, less one
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
  localparam int HELD = $clog2(OUTSTANDING + 1);
  localparam int ROWS = 7;  // of the number of rows in a burst

  // Requests. The nest is runs ahead of them, so that nothing late decides whether it steps; what is left of the present
  // run lies in registers.
  logic opening, walks_runs, runs_full, walking, next_last, steps, asks_any, first, runs_last, asks, asks_last, wide;
  logic [WIDTH-1:0] length, run_row, next_run_row, left, next_left;
  logic [31:0] next_address, next_run_address;
  logic [ROWS-1:0] less_one;
  logic [63:0] addresses;
  logic [LOOPS-1:0] unused_first, ends;
  logic [HELD-1:0] held;

  nest #(
      .LOOPS(LOOPS), .ADDRESSES(2), .WIDTH(32), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS({8'd18, 8'd64})
  ) runs (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning, .bases({32'(row), address}),
      .busy(opening), .valid(walks_runs), .step(walks_runs && !runs_full), .addresses, .at_first(unused_first),
      .at_end(ends)
  );
  fifo #(.WIDTH(32 + WIDTH + 1), .DEPTH(2)) runs_ahead (
      .clk, .reset, .push(walks_runs && !runs_full), .in({&ends, addresses[32+:WIDTH], addresses[31:0]}), .pop(steps),
      .out({next_last, next_run_row, next_run_address}), .there(walking), .full(runs_full)
  );
  burst #(.PITCH(PITCH), .BUS(BUS), .WIDTH(WIDTH), .ROWS(ROWS)) next (
      .wide(wide), .most(burst), .address(request_address), .left, .less_one, .ends(asks_last), .next_address, .next_left
  );
  assign request = asks_any && 7'(held) < most_held;
  assign request_length = wide ? 8'(less_one) * 8'(4 * BEATS) | 8'(4 * BEATS - 1) : 8'(less_one) * 8'(BEATS) | 8'(BEATS - 1);
  assign asks = request && request_taken;
  assign steps = walking && (!asks_any || (asks && asks_last));
  assign idle = !opening && !walking && !asks_any;

  always_ff @(posedge clk) begin
    if (start) begin
      wide <= to_accumulator && !narrow;
      length <= repeats || transposes ? WIDTH'(1) : run;
    end
    if (steps) begin
      request_address <= next_run_address;
      run_row <= next_run_row;
      runs_last <= next_last;
      left <= length;
      first <= 1'b1;
    end else if (asks) begin
      request_address <= next_address;
      left <= next_left;
      first <= 1'b0;
    end
    asks_any <= !reset && (steps || (asks_any && !(asks && asks_last)));
  end

  // Answers. What a command says of all its rows waits in a queue of its own. A row stays where its beats came together
  // until it is used; the last one of a command is used before the next one's beats come, which a new setting goes before.
  localparam int SETTINGS = 5 + 12 + 2 * WIDTH;
  logic settled, settings_full, answers, answers_full, answers_last, begins, is_first, last_row, done;
  logic row_there, row_taken, row_used;
  logic to_sums, is_narrow, is_repeated, is_transposed, is_free, place_free;
  logic [7:0] own_scale;
  logic [3:0] own_shift;
  logic [ROWS-1:0] rows_less_one;
  logic [WIDTH-1:0] first_row, stride_of_rows, fills_less_one, taken, next_row, at_row;
  logic [DIM*32-1:0] whole, scaled;
  fifo #(.WIDTH(SETTINGS), .DEPTH(DEPTH)) settings (
      .clk, .reset, .push(start),
      .in({to_accumulator, narrow, adds, repeats, transposes, scale, shift, stride, run - 1'b1}), .pop(finish),
      .out({to_sums, is_narrow, fill_adds, is_repeated, is_transposed, own_scale, own_shift, stride_of_rows, fills_less_one}),
      .there(settled), .full(settings_full)
  );
  fifo #(.WIDTH(WIDTH + ROWS + 2), .DEPTH(OUTSTANDING)) on_the_way (
      .clk, .reset, .push(asks), .in({asks_last && runs_last, first, run_row, less_one}), .pop(done),
      .out({answers_last, begins, first_row, rows_less_one}), .there(answers), .full(answers_full)
  );
  gather #(.BUS(BUS), .PITCH(PITCH), .DIM(DIM)) gather (
      .clk, .reset, .wide(to_sums && !is_narrow), .take(beat && beat_taken), .beat_data, .used(row_used),
      .there(row_there), .row(whole)
  );
  // A repeated row stays until it has filled the last one.
  assign is_free = to_sums ? fill_taken : place_free;
  assign row_taken = row_there && is_free;
  assign last_row = taken == (is_repeated ? fills_less_one : WIDTH'(rows_less_one));
  assign row_used = row_taken && (!is_repeated || last_row);
  assign beat_taken = answers && !finish && (!row_there || (row_used && !(last_row && answers_last)));
  assign done = row_taken && last_row;
  assign at_row = begins && is_first ? first_row : next_row;
  transposer #(.DIM(DIM), .WIDTH(WIDTH)) transposer (
      .clk, .reset, .transposes(is_transposed), .block_less_one(fills_less_one), .becomes(stride_of_rows),
      .in_valid(row_there && !to_sums && !is_narrow), .in(whole[DIM*8-1:0]), .row(at_row), .taken(place_free),
      .write, .write_row, .write_data
  );
  assign write_table = row_there && !to_sums && is_narrow;
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
    finish <= done && answers_last && !reset;
    if (row_taken) next_row <= at_row + stride_of_rows;
    if (reset) begin
      taken <= '0;
      is_first <= 1'b1;
      held <= '0;
    end else begin
      if (row_taken) begin
        taken <= last_row ? '0 : taken + 1'b1;
        is_first <= last_row;
      end
      held <= held + HELD'(asks) - HELD'(done);
    end
  end
  wire unused = &{1'b0, settled, settings_full, answers_full, unused_first, addresses[63:32+WIDTH]};
endmodule
