// Commands in, memory beats in and out: a decoder, queues for the load, execute and store units, and their memories.
//
// A command is a header of eight 64-bit words and two words per loop, the innermost first:
//   0  opcode (1 load, 2 execute, 3 store, 0 the end) [3:0], loops [7:4], flags [15:8], shift [21:16], scale [47:32]
//   1  scratchpad rows a: from [17:0], to [35:18]    2  the same of b    3  accumulator rows
//   4  rows: input or destination [17:0], weights or run [35:18], outputs [53:36]
//   5  execute: y [17:0], x [35:18]; else: DRAM address [31:0]
//   6  height [17:0], width [35:18]
//   7  resting loops [11:0], reducing loops [23:12], loops of a block [35:24], channels of a step [47:36]
//   loop: iterations after the first [17:0], weight jump [35:18], input jump [53:36], or row jump [49:18];
//         output jump [17:0], y jump [35:18], x jump [53:36], or the jump in DRAM [31:0]
module accelerator #(
    parameter int DIM               = 16,  // rows and columns of the array
    parameter int SCRATCHPAD_KIB    = 256,
    parameter int SCRATCHPAD_BANKS  = 4,
    parameter int ACCUMULATOR_KIB   = 64,
    parameter int ACCUMULATOR_BANKS = 2,
    parameter int BUS_BYTES         = 16,  // per beat
    parameter int BURST_ROWS        = 8,   // most rows per request
    parameter int OUTSTANDING       = 8,   // requests under way
    parameter int QUEUE_DEPTH       = 4,   // commands per unit
    parameter int PSUM              = 16 + $clog2(DIM)  // bits of the array's sums; more change nothing
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   command_valid,
    output logic                   command_ready,
    input  logic [           63:0] command,
    output logic                   read_request,
    input  logic                   read_ready,
    output logic [           31:0] read_address,
    output logic [           15:0] read_beats,
    input  logic                   read_valid,
    output logic                   read_taken,
    input  logic [BUS_BYTES*8-1:0] read_data,
    output logic                   write_valid,
    input  logic                   write_ready,
    output logic [           31:0] write_address,
    output logic [BUS_BYTES*8-1:0] write_data,
    output logic                   done,
    output logic [            2:0] starts,      // units that take a command: load, execute, store
    output logic [            2:0] finishes,    // units that finish one
    output logic                   issues,      // a pixel enters the array
    output logic                   conflicts,   // one waits for its scratchpad bank
    output logic [            2:0] blockers,    // units that the next command for the array waits for
    output logic                   computes,    // the execute unit has a command that it works on
    output logic                   has_next,    // the execute unit has a command that it has not taken
    output logic [            2:0] stuck,       // units whose full queue keeps further commands back
    output logic                   ended,       // the last command has come
    output logic [          383:0] elaborated   // the parameters and what follows from them, 32 bits each
);
  localparam int WIDTH = 18;
  localparam int LOOPS = 12;
  localparam int MOVE_LOOPS = 4;
  localparam int HEADER = 8;
  localparam int WORDS = HEADER + 2 * LOOPS;
  localparam int MOVE_WORDS = HEADER + 2 * MOVE_LOOPS;
  localparam int PITCH = 1 << $clog2(DIM);
  localparam int SCRATCHPAD_ROWS = SCRATCHPAD_KIB * 1024 / DIM;
  localparam int ACCUMULATOR_ROWS = ACCUMULATOR_KIB * 256 / DIM;
  localparam int SP = $clog2(SCRATCHPAD_ROWS);
  localparam int ACC = $clog2(ACCUMULATOR_ROWS);
  assign elaborated = {
    32'(ACCUMULATOR_ROWS), 32'(SCRATCHPAD_ROWS), 32'(PITCH),
    32'(QUEUE_DEPTH), 32'(OUTSTANDING), 32'(BURST_ROWS), 32'(BUS_BYTES), 32'(ACCUMULATOR_BANKS),
    32'(ACCUMULATOR_KIB), 32'(SCRATCHPAD_BANKS), 32'(SCRATCHPAD_KIB), 32'(DIM)
  };

  // A command is put together word by word, then goes to its unit's queue.
  logic [WORDS*64-1:0] words;
  logic [5:0] got, wanted;
  logic whole, pushes;
  logic [3:0] opcode;
  logic [1:0] unit;
  logic [2:0] full, starting, ready, finishing, waiting, active;

  assign opcode = words[3:0];
  assign unit = 2'(opcode - 4'd1);
  assign wanted = 6'(HEADER) + {1'b0, words[7:4], 1'b0};
  assign whole = got != 0 && got == wanted;
  assign pushes = whole && !full[unit];
  assign stuck = whole && full[unit] ? 3'b001 << unit : '0;
  assign command_ready = !ended && (!whole || pushes);

  always_ff @(posedge clk) begin
    if (reset) begin
      got   <= '0;
      ended <= 1'b0;
    end else begin
      if (command_valid && command_ready) begin
        if (whole || got == 0) begin
          if (command[3:0] == 4'd0) ended <= 1'b1;
          got <= command[3:0] == 4'd0 ? 6'd0 : 6'd1;
        end else got <= got + 1'b1;
      end else if (pushes) got <= '0;
    end
    if (command_valid && command_ready) begin
      if (whole || got == 0) words <= {{(WORDS - 1) * 64{1'b0}}, command};
      else words[got*64+:64] <= command;
    end
  end

  hazards #(.DEPTH(QUEUE_DEPTH), .WIDTH(WIDTH)) hazards (
      .clk, .reset, .push(pushes), .push_unit(unit),
      .push_rows({words[3*64+:2*WIDTH], words[2*64+:2*WIDTH], words[64+:2*WIDTH]}),
      .full, .start(starting), .ready, .finish(finishing), .waiting, .active, .blockers
  );
  assign starts = starting;
  assign finishes = finishing;
  assign has_next = waiting[1];
  assign done = ended && active == 0;

  logic [MOVE_WORDS*64-1:0] load_words, store_words;
  logic [WORDS*64-1:0] execute_words;
  logic [2:0] taken;  // a unit has its next command on its input
  queue #(.WIDTH(MOVE_WORDS * 64), .DEPTH(QUEUE_DEPTH)) load_queue (
      .clk, .reset, .push(pushes && unit == 2'd0), .in(words[MOVE_WORDS*64-1:0]), .take(starting[0]), .taken(load_words)
  );
  queue #(.WIDTH(WORDS * 64), .DEPTH(QUEUE_DEPTH)) execute_queue (
      .clk, .reset, .push(pushes && unit == 2'd1), .in(words), .take(starting[1]), .taken(execute_words)
  );
  queue #(.WIDTH(MOVE_WORDS * 64), .DEPTH(QUEUE_DEPTH)) store_queue (
      .clk, .reset, .push(pushes && unit == 2'd2), .in(words[MOVE_WORDS*64-1:0]), .take(starting[2]), .taken(store_words)
  );
  always_ff @(posedge clk) taken <= reset ? '0 : starting;

  logic load_idle, execute_ready, store_idle;
  assign starting = ready & {store_idle, execute_ready, load_idle} & ~taken;

  logic write, fill, fill_taken, input_want, input_grant, weight_want, weight_grant, add, add_fresh, row_want, row_grant;
  logic [WIDTH-1:0] write_row, fill_row, input_row, weight_row, add_row, row;
  logic [DIM*8-1:0] row_bytes, input_bytes, weight_bytes;
  logic [DIM*32-1:0] fill_sums, row_sums;
  logic [DIM*PSUM-1:0] add_sums;

  load #(
      .DIM(DIM), .PITCH(PITCH), .BUS(BUS_BYTES), .BURST(BURST_ROWS), .OUTSTANDING(OUTSTANDING), .LOOPS(MOVE_LOOPS),
      .WIDTH(WIDTH)
  ) load (
      .clk, .reset, .start(taken[0]), .idle(load_idle), .finish(finishing[0]),
      .to_accumulator(load_words[8]), .row(load_words[4*64+:WIDTH]), .run(load_words[4*64+WIDTH+:WIDTH]),
      .address(load_words[5*64+:32]), .loops(load_words[HEADER*64+:MOVE_LOOPS*128]),
      .request(read_request), .request_taken(read_ready), .request_address(read_address), .request_beats(read_beats),
      .beat(read_valid), .beat_data(read_data), .beat_taken(read_taken),
      .write, .write_row, .write_data(row_bytes), .fill, .fill_taken, .fill_row, .fill_data(fill_sums)
  );
  execute #(.DIM(DIM), .PSUM(PSUM), .LOOPS(LOOPS), .WIDTH(WIDTH)) execute (
      .clk, .reset, .start(taken[1]), .ready(execute_ready), .finish(finishing[1]), .fresh(execute_words[8]),
      .resting(execute_words[7*64+:LOOPS]), .reduces(execute_words[7*64+LOOPS+:LOOPS]),
      .block(execute_words[7*64+2*LOOPS+:LOOPS]), .channels(execute_words[7*64+3*LOOPS+:12]),
      .input_row(execute_words[4*64+:WIDTH]), .weight_row(execute_words[4*64+WIDTH+:WIDTH]),
      .output_row(execute_words[4*64+2*WIDTH+:WIDTH]), .y(execute_words[5*64+:WIDTH]), .x(execute_words[5*64+WIDTH+:WIDTH]),
      .height(execute_words[6*64+:WIDTH]), .width(execute_words[6*64+WIDTH+:WIDTH]),
      .loops(execute_words[HEADER*64+:LOOPS*128]),
      .input_want, .input_want_row(input_row), .input_grant, .input_data(input_bytes),
      .weight_want, .weight_want_row(weight_row), .weight_grant, .weight_data(weight_bytes),
      .add, .add_fresh, .add_row, .add_data(add_sums), .issues, .conflicts
  );
  store #(.DIM(DIM), .PITCH(PITCH), .BUS(BUS_BYTES), .LOOPS(MOVE_LOOPS), .WIDTH(WIDTH)) store (
      .clk, .reset, .start(taken[2]), .idle(store_idle), .finish(finishing[2]),
      .raw(store_words[8]), .relu(store_words[9]), .shift(store_words[21:16]), .scale(store_words[47:32]),
      .row(store_words[4*64+:WIDTH]), .run(store_words[4*64+WIDTH+:WIDTH]), .address(store_words[5*64+:32]),
      .loops(store_words[HEADER*64+:MOVE_LOOPS*128]),
      .read_want(row_want), .read_row(row), .read_grant(row_grant), .read_data(row_sums),
      .beat(write_valid), .beat_address(write_address), .beat_data(write_data), .beat_taken(write_ready)
  );
  scratchpad #(.DIM(DIM), .ROWS(SCRATCHPAD_ROWS), .BANKS(SCRATCHPAD_BANKS)) scratchpad (
      .clk, .write, .write_row(write_row[SP-1:0]), .write_data(row_bytes),
      .a_want(input_want), .a_row(input_row[SP-1:0]), .a_grant(input_grant), .a_data(input_bytes),
      .b_want(weight_want), .b_row(weight_row[SP-1:0]), .b_grant(weight_grant), .b_data(weight_bytes)
  );
  accumulator #(.DIM(DIM), .ROWS(ACCUMULATOR_ROWS), .BANKS(ACCUMULATOR_BANKS), .PSUM(PSUM)) accumulator (
      .clk, .add, .add_fresh, .add_row(add_row[ACC-1:0]), .add_data(add_sums),
      .read_want(row_want), .read_row(row[ACC-1:0]), .read_grant(row_grant), .read_data(row_sums),
      .write_want(fill), .write_row(fill_row[ACC-1:0]), .write_data(fill_sums), .write_grant(fill_taken)
  );

  logic [7:0] under_way;  // commands for the array, taken and not finished
  assign computes = under_way != 0;
  always_ff @(posedge clk) under_way <= reset ? '0 : under_way + 8'(starting[1]) - 8'(finishing[1]);
  wire unused = &{
    1'b0, waiting, load_words, execute_words, store_words, write_row[WIDTH-1:SP], input_row[WIDTH-1:SP], weight_row[WIDTH-1:SP],
    add_row[WIDTH-1:ACC], row[WIDTH-1:ACC], fill_row[WIDTH-1:ACC]
  };
endmodule
