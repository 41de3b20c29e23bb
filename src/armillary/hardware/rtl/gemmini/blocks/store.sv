// The store unit: rows of the accumulator to DRAM, pooled and converted to bytes, or as they are.
//
// A loop nest gives runs of rows; on chip, the rows of a run lie `stride` apart, in DRAM one behind the other. Loops that
// `pools` names, the innermost ones, go over the rows of a window, which become one row: their largest sums, or their
// total. Bytes may go through a table, if there are any. A run goes out in bursts that cross no boundary of 4 KiB. A
// command has finished when DRAM has answered its last burst.
module store #(
    parameter int DIM         = 16,
    parameter int PITCH       = 16,
    parameter int BUS         = 16,
    parameter int OUTSTANDING = 8,
    parameter int LOOPS       = 4,
    parameter int WIDTH       = 18,
    parameter int SLOTS       = 5,
    parameter int TABLES      = 0,   // whether every lane has a table
    parameter int SLOT        = $clog2(SLOTS),
    parameter int LOOP        = $clog2(LOOPS)
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic [            6:0] burst,         // most rows per burst
    input  logic [            6:0] most_held,     // most bursts under way
    input  logic                   put,
    input  logic [       SLOT-1:0] put_slot,
    input  logic [       LOOP-1:0] put_loop,
    input  logic [          127:0] put_words,
    input  logic                   start,
    output logic                   idle,
    output logic                   finish,
    input  logic [       SLOT-1:0] slot,
    input  logic [      LOOPS-1:0] turning,
    input  logic [      LOOPS-1:0] pools,
    input  logic                   pools_totals,  // not the largest
    input  logic                   raw,           // write the 32-bit sums
    input  logic                   floating,      // see `convert`
    input  logic                   looks,         // bytes up in the tables
    input  logic [           31:0] scale,
    input  logic [            5:0] shift,
    input  logic [            7:0] low,
    input  logic [            7:0] high,
    input  logic [      WIDTH-1:0] run,           // rows that lie together in DRAM
    input  logic [      WIDTH-1:0] stride,
    input  logic [      WIDTH-1:0] row,
    input  logic [           31:0] address,
    output logic                   may_read,      // wants to read, unless what it has read cannot go on
    output logic                   read_want,
    output logic [      WIDTH-1:0] read_row,
    input  logic                   read_grant,
    input  logic [     DIM*32-1:0] read_data,
    output logic                   request,       // a burst begins
    input  logic                   request_taken,
    output logic [           31:0] request_address,
    output logic [            8:0] request_beats,
    output logic                   beat,
    output logic [      BUS*8-1:0] beat_data,
    output logic                   beat_last,     // of its burst
    input  logic                   beat_taken,
    input  logic                   answer,        // a burst is written
    input  logic                   table_write,   // an entry of every table; no command that looks up is under way
    input  logic [            7:0] table_entry,
    input  logic [      DIM*8-1:0] table_data
);
  localparam int BEATS = PITCH / BUS;
  localparam int MOST = 4 * BEATS;
  localparam int COUNT = $clog2(MOST) + 1;
  localparam int ROWS = 7;  // of the number of rows in a burst
  localparam int TAG = 32 + ROWS + 2;  // address and rows of a burst that begins, whether it is the last, whether it begins

  // Which row next: the loop nest gives runs; what is left of one lies in registers.
  logic opening, walks_runs, runs_full, waits, steps, walking, next_last, next_window_last, next_window_first, runs_last;
  logic own_raw, own_bytes;  // the one for what decides, the other for what reaches many bits
  logic own_floating, own_totals;
  logic ends_run, ends, begins_burst, window_first, window_last;
  logic [5:0] own_shift;
  logic [31:0] own_scale;
  logic [7:0] own_low, own_high;
  logic [WIDTH-1:0] length, left, own_stride, next_row, unused_left;
  logic [63:0] addresses;
  logic [31:0] at_address, next_address, unused_address;
  logic [LOOPS-1:0] own_pools, at_first, at_end;
  logic [ROWS-1:0] less_one, burst_left;
  nest #(
      .LOOPS(LOOPS), .ADDRESSES(2), .WIDTH(32), .COUNT(WIDTH), .SLOTS(SLOTS), .OFFSETS({8'd18, 8'd64})
  ) runs (
      .clk, .reset, .put, .put_slot, .put_loop, .put_words, .start, .slot, .turning, .bases({32'(row), address}),
      .busy(opening), .valid(walks_runs), .step(walks_runs && !runs_full), .addresses, .at_first, .at_end
  );
  // The nest is runs ahead, so that nothing late decides whether it steps.
  fifo #(.WIDTH(32 + WIDTH + 3), .DEPTH(2)) runs_ahead (
      .clk, .reset, .push(walks_runs && !runs_full),
      .in({&at_end, &(at_end | ~own_pools), &(at_first | ~own_pools), addresses[32+:WIDTH], addresses[31:0]}),
      .pop(steps), .out({next_last, next_window_last, next_window_first, next_row, next_address}), .there(waits),
      .full(runs_full)
  );
  assign steps = waits && (!walking || (read_grant && ends_run));
  assign ends_run = left == 1;
  burst #(.PITCH(PITCH), .BUS(BUS), .WIDTH(WIDTH), .ROWS(ROWS)) next (
      .wide(own_raw), .most(burst), .address(at_address), .left, .less_one, .ends,
      .next_address(unused_address), .next_left(unused_left)
  );
  assign begins_burst = burst_left == 0;

  always_ff @(posedge clk) begin
    if (start) begin
      own_raw <= raw;
      own_bytes <= !raw;
      own_floating <= floating;
      own_totals <= pools_totals;
      own_shift <= shift;
      own_scale <= scale;
      own_low <= low;
      own_high <= high;
      own_stride <= stride;
      own_pools <= pools;
      length <= run;
    end
    walking <= !reset && (steps || (walking && !(read_grant && ends_run)));
    if (steps) begin
      left <= length;
      read_row <= next_row;
      at_address <= next_address;
      runs_last <= next_last;
      window_last <= next_window_last;
      window_first <= next_window_first;
    end else if (read_grant) begin
      left <= left - 1'b1;
      read_row <= read_row + own_stride;
      at_address <= at_address + (own_bytes ? 32'(PITCH) : 32'(4 * PITCH));
    end
    if (start) burst_left <= '0;
    else if (read_grant) burst_left <= begins_burst ? less_one : burst_left - 1'b1;
  end

  // Behind the accumulator: its answer, which is kept if it cannot go on; the row that the pool takes next; the window; the
  // conversion; the row that leaves.
  logic came, came_first, came_last, goes_on, keeps, takes, there, there_first, there_last;
  logic [TAG-1:0] came_tag, there_tag, kept_tag;
  logic [DIM*32-1:0] kept_sums;
  logic kept, kept_first, kept_last;
  assign may_read = walking && !kept;
  assign read_want = may_read && !(came && there && !takes);
  assign goes_on = (came || kept) && (!there || takes);
  assign keeps = came && !goes_on;

  logic window, window_goes;
  logic [DIM*32-1:0] window_sums;
  logic [TAG-1:0] window_tag;
  assign takes = there && (!window || window_goes);
  pool #(.DIM(DIM)) pool (
      .clk, .bring(goes_on), .in(kept ? kept_sums : read_data), .take(takes), .first(there_first), .totals(own_totals),
      .sums(window_sums)
  );

  logic advance, converting, converted, out_goes, leaving, requested;
  logic [TAG-1:0] converted_tag, out_tag;
  logic [DIM*8-1:0] bytes;
  convert #(.DIM(DIM), .TAG(TAG)) convert (
      .clk, .reset, .advance, .valid_in(window && !own_raw), .tag_in(window_tag), .sums(window_sums),
      .floating(own_floating), .scale(own_scale), .shift(own_shift), .low(own_low), .high(own_high),
      .valid_out(converted), .tag_out(converted_tag), .bytes, .busy(converting)
  );
  assign window_goes = own_raw ? out_goes : advance;
  assign out_tag = own_bytes ? made_tag : window_tag;

  // What the conversion makes goes out, or what the tables make of it a cycle later.
  logic made, looking;
  logic [TAG-1:0] made_tag;
  logic [DIM*8-1:0] made_bytes;
  if (TABLES != 0) begin : g_tables
    logic own_looks, takes_bytes;
    logic [TAG-1:0] looked_tag;
    logic [DIM*8-1:0] looked_bytes;
    lookup #(.DIM(DIM)) lookup (
        .clk, .take(takes_bytes), .in(bytes), .out(looked_bytes), .write(table_write), .write_entry(table_entry),
        .write_data(table_data)
    );
    assign takes_bytes = own_looks && converted && (!looking || out_goes);
    assign advance = !converted || (own_looks ? takes_bytes : out_goes);
    assign made = own_looks ? looking : converted;
    assign made_tag = own_looks ? looked_tag : converted_tag;
    assign made_bytes = own_looks ? looked_bytes : bytes;
    always_ff @(posedge clk) begin
      looking <= !reset && (takes_bytes || (looking && !out_goes));
      if (start) own_looks <= looks;
      if (takes_bytes) looked_tag <= converted_tag;
    end
  end else begin : g_no_table
    assign advance = !converted || out_goes;
    assign made = converted;
    assign made_tag = converted_tag;
    assign made_bytes = bytes;
    assign looking = 1'b0;
    wire unused = &{1'b0, looks, table_write, table_entry, table_data};
  end

  // The row that leaves, beat by beat, and the address of a burst that it begins.
  logic [PITCH*32-1:0] leaves, whole_sums;
  assign whole_sums = (PITCH * 32)'(window_sums);
  logic [COUNT-1:0] beats_left;  // of the row, behind the one on the bus
  logic [ROWS-1:0] rows_left;
  logic out_begins, out_final, row_leaves, out_there, all_under_way, is_final, answers, answers_full;
  logic [31:0] out_address;
  logic [ROWS-1:0] out_less_one;
  assign {out_final, out_begins, out_less_one, out_address} = out_tag;
  assign out_there = own_raw ? window : made;
  assign row_leaves = leaving && beat_taken && beats_left == 0;
  assign out_goes = out_there && (!leaving || row_leaves) &&
      (!out_begins || ((!requested || request_taken) && !all_under_way));
  assign request = requested;
  assign beat = leaving;
  assign beat_data = leaves[BUS*8-1:0];
  assign beat_last = beats_left == 0 && rows_left == 0;
  assign idle = !(opening || waits || walking || came || kept || there || window || converting || looking || leaving ||
      requested);

  // Bursts are answered in order; the last one of a command ends it.
  logic [6:0] held;
  fifo #(.WIDTH(1), .DEPTH(OUTSTANDING)) finals (
      .clk, .reset, .push(out_goes && out_begins), .in(out_final), .pop(answer), .out(is_final), .there(answers),
      .full(answers_full)
  );
  assign all_under_way = held >= most_held;
  assign finish = answer && is_final;

  always_ff @(posedge clk) begin
    if (reset) begin
      came      <= 1'b0;
      kept      <= 1'b0;
      there     <= 1'b0;
      window    <= 1'b0;
      leaving   <= 1'b0;
      requested <= 1'b0;
      held      <= '0;
    end else begin
      came <= read_grant;
      kept <= keeps || (kept && !goes_on);
      there <= goes_on || (there && !takes);
      window <= takes ? there_last : window && !window_goes;
      leaving <= out_goes || (leaving && !row_leaves);
      requested <= (out_goes && out_begins) || (requested && !request_taken);
      held <= held + 7'(out_goes && out_begins) - 7'(answer);
    end
    if (read_grant) begin
      came_first <= window_first;
      came_last <= window_last;
      came_tag <= {runs_last && ends, begins_burst, less_one, at_address};
    end
    if (keeps) begin
      kept_first <= came_first;
      kept_last <= came_last;
      kept_tag <= came_tag;
      kept_sums <= read_data;
    end
    if (goes_on) {there_first, there_last, there_tag} <=
        kept ? {kept_first, kept_last, kept_tag} : {came_first, came_last, came_tag};
    if (takes) window_tag <= there_tag;
    if (out_goes) begin
      leaves <= whole_sums;  // behind bytes, nobody looks at the rest of it
      if (own_bytes) leaves[PITCH*8-1:0] <= (PITCH * 8)'(made_bytes);
      beats_left <= own_bytes ? COUNT'(BEATS - 1) : COUNT'(MOST - 1);
      rows_left <= out_begins ? out_less_one : rows_left - 1'b1;
      if (out_begins) begin
        request_address <= out_address;
        request_beats <= (9'(out_less_one) + 1'b1) * (own_bytes ? 9'(BEATS) : 9'(MOST));
      end
    end else if (beat_taken && leaving) begin
      leaves <= leaves >> (BUS * 8);
      beats_left <= beats_left - 1'b1;
    end
  end
  wire unused = &{1'b0, answers, answers_full, unused_address, unused_left, addresses[63:32+WIDTH]};
endmodule
