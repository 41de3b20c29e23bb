// The load unit: rows from DRAM into the scratchpad or, as 32-bit rows, into the accumulator.
//
// A loop nest gives runs of rows that lie together in DRAM; each run is asked for in bursts, of which a bounded number
// may be under way. Answers come in order. Rows for the scratchpad are always taken; the accumulator may make them wait.
module load #(
    parameter int DIM         = 16,
    parameter int PITCH       = 16,  // bytes from one row to the next in DRAM, a power of two
    parameter int BUS         = 16,  // bytes per beat, at most PITCH
    parameter int BURST       = 8,   // most rows per request
    parameter int OUTSTANDING = 8,
    parameter int LOOPS       = 4,
    parameter int WIDTH       = 18
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   start,
    output logic                   idle,
    output logic                   finish,
    input  logic                   to_accumulator,
    input  logic [      WIDTH-1:0] run,             // rows per run
    input  logic [      WIDTH-1:0] row,
    input  logic [           31:0] address,
    input  logic [  LOOPS*128-1:0] loops,
    output logic                   request,
    input  logic                   request_taken,
    output logic [           31:0] request_address,
    output logic [           15:0] request_beats,
    input  logic                   beat,
    input  logic [      BUS*8-1:0] beat_data,
    output logic                   beat_taken,
    output logic                   write,
    output logic [      WIDTH-1:0] write_row,
    output logic [      DIM*8-1:0] write_data,
    output logic                   fill,
    input  logic                   fill_taken,
    output logic [      WIDTH-1:0] fill_row,
    output logic [     DIM*32-1:0] fill_data
);
  localparam int BEATS = PITCH / BUS;  // per row of bytes
  localparam int HELD = $clog2(OUTSTANDING + 1);
  localparam int INFO = 2 * WIDTH + 2;

  // Requests.
  logic busy, wide, asks_last;
  logic [WIDTH-1:0] length, asked, now, run_row;
  logic [31:0] run_address;
  logic nest_last, step;
  logic [63:0] addresses;
  logic [LOOPS-1:0] unused_first;
  logic [HELD-1:0] held;

  nest #(.LOOPS(LOOPS), .ADDRESSES(2), .WIDTH(32), .COUNT(WIDTH), .OFFSETS({8'd18, 8'd64})) runs (
      .clk, .start, .step, .words(loops), .skip('0), .bases({32'(row), address}), .addresses,
      .at_first(unused_first), .at_last(nest_last)
  );
  assign run_row = addresses[32+:WIDTH];
  assign run_address = addresses[31:0];
  assign now = length - asked > WIDTH'(BURST) ? WIDTH'(BURST) : length - asked;
  assign asks_last = asked + now == length;
  assign request = busy && held != HELD'(OUTSTANDING);
  assign request_address = run_address + 32'(asked) * (wide ? 32'(4 * PITCH) : 32'(PITCH));
  assign request_beats = 16'(now) * (wide ? 16'(4 * BEATS) : 16'(BEATS));
  assign step = request && request_taken && asks_last;
  assign idle = !busy;

  always_ff @(posedge clk) begin
    if (reset) busy <= 1'b0;
    else if (start) begin
      busy   <= 1'b1;
      wide   <= to_accumulator;
      length <= run;
      asked  <= '0;
    end else if (request && request_taken) begin
      asked <= asks_last ? '0 : asked + now;
      if (asks_last && nest_last) busy <= 1'b0;
    end
  end

  // Answers.
  logic none, all_asked, answers_last, answer_wide, row_whole, row_taken, last_row, done;
  logic [WIDTH-1:0] answer_row, answer_rows, taken;
  logic [DIM*32-1:0] whole;
  logic [31:0] unused_height;
  fifo #(.WIDTH(INFO), .DEPTH(OUTSTANDING)) on_the_way (
      .clk, .reset, .push(request && request_taken), .in({asks_last && nest_last, wide, run_row + asked, now}),
      .pop(done), .show(1'b1), .out({answers_last, answer_wide, answer_row, answer_rows}), .empty(none), .full(all_asked)
  );
  gather #(.BUS(BUS), .PITCH(PITCH), .DIM(DIM)) gather (
      .clk, .reset, .wide(answer_wide), .beat(beat && beat_taken), .beat_data, .complete(row_whole), .row(whole)
  );
  assign beat_taken = !none && !(row_whole && answer_wide && !fill_taken);
  assign row_taken = row_whole && beat_taken && beat;
  assign last_row = taken + 1'b1 == answer_rows;
  assign done = row_taken && last_row;
  assign finish = done && answers_last;
  assign write = row_taken && !answer_wide;
  assign write_row = answer_row + taken;
  assign write_data = whole[DIM*8-1:0];
  assign fill = row_whole && answer_wide && beat && !none;
  assign fill_row = write_row;
  assign fill_data = whole;
  assign unused_height = addresses[63:32];

  always_ff @(posedge clk) begin
    if (reset) begin
      taken <= '0;
      held  <= '0;
    end else begin
      if (row_taken) taken <= last_row ? '0 : taken + 1'b1;
      held <= held + HELD'(request && request_taken) - HELD'(done);
    end
  end
  wire unused = &{1'b0, all_asked, unused_first, unused_height};
endmodule
