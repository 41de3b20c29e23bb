// Commands and tensors in, results out, over one AXI4 port: a decoder, queues for the load, execute and store units, and
// their memories.
//
// A program lies in DRAM, its first word at `program_address`, a multiple of 256, when `reset` ends. It is a sequence of
// commands. A command is a header of eight 64-bit words and two words per loop, the innermost first:
//   0  opcode [3:0]: 1 load, 2 execute, 3 store, 4 wait until all before it is done, 0 the end; loops [7:4];
//      flags [15:8]: load: 0 into the accumulator, 1 bytes into it, 2 add to it, 3 repeat a row, 4 transpose blocks;
//                    1 without 0: entries of the tables, a row each: the bytes of the lanes;
//                    execute: 0 begins its sums, 1 the array holds sums, not weights;
//                    store: 0 raw, 1 floating point, 2 windows are totals, 3 through the tables;
//      shift [21:16], scale [63:32] (of a load: shift [19:16], scale [39:32])
//   1  scratchpad rows: from [17:0], to [35:18]; of inputs, or of a load   2  the same of weights   3  accumulator rows
//   4  rows: input or destination [17:0], weights or run [35:18], outputs or stride [53:36]
//   5  execute: y [17:0], x [35:18]; else: DRAM address [31:0]
//   6  execute: height [17:0], width [35:18]; store: low [7:0], high [15:8], loops of a window [19:16]
//   7  execute: resting loops [11:0], reducing loops [23:12], loops of a block [35:24], channels of a step [47:36],
//      pixels of a block [59:48]
//   loop: iterations after the first [17:0], weight jump [35:18], input jump [53:36], or row jump [49:18];
//         output jump [17:0], y jump [35:18], x jump [53:36], or the jump in DRAM [31:0]
// The last two commands have no other words than the first.
//
// Reads have the id 0 for tensors and 1 for commands; each id's answers come in order, those of both in any. All writes
// have the id 0. No burst crosses a boundary of 4 KiB.
//
// The straps say how much of the hardware to use, at most what the parameters provide: one simulator serves many
// accelerators. They are constant.
module core #(
    parameter int DIM               = 16,  // rows and columns of the array
    parameter int DATAFLOW          = 1,   // 1 weight stationary, 2 output stationary, 3 either, as commands say
    parameter int SCRATCHPAD_KIB    = 256,
    parameter int SCRATCHPAD_BANKS  = 4,
    parameter int ACCUMULATOR_KIB   = 64,
    parameter int ACCUMULATOR_BANKS = 2,
    parameter int BUS_BYTES         = 16,  // per beat
    parameter int OUTSTANDING       = 8,   // requests under way
    parameter int QUEUE_DEPTH       = 4,   // commands per unit
    parameter int ACTIVATION_TABLES = 0,   // 1: every lane of the store unit has one
    parameter int PSUM              = 16 + $clog2(DIM)  // bits of the array's sums; more change nothing
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic [           31:0] program_address,
    input  logic [            6:0] burst_rows,         // straps: most rows per request, 1 to 64
    input  logic [            6:0] outstanding,        // and as the parameters
    input  logic [            4:0] queue_depth,
    input  logic [            4:0] scratchpad_banks,   // powers of two
    input  logic [            4:0] accumulator_banks,
    input  logic [            6:0] least_run,          // cycles from the first pixel of a run to that of the next, see execute
    output logic                   arvalid,
    input  logic                   arready,
    output logic [            0:0] arid,
    output logic [           31:0] araddr,
    output logic [            7:0] arlen,
    output logic [            2:0] arsize,
    output logic [            1:0] arburst,
    input  logic                   rvalid,
    output logic                   rready,
    input  logic [            0:0] rid,
    input  logic [BUS_BYTES*8-1:0] rdata,
    input  logic [            1:0] rresp,
    input  logic                   rlast,
    output logic                   awvalid,
    input  logic                   awready,
    output logic [            0:0] awid,
    output logic [           31:0] awaddr,
    output logic [            7:0] awlen,
    output logic [            2:0] awsize,
    output logic [            1:0] awburst,
    output logic                   wvalid,
    input  logic                   wready,
    output logic [BUS_BYTES*8-1:0] wdata,
    output logic [  BUS_BYTES-1:0] wstrb,
    output logic                   wlast,
    input  logic                   bvalid,
    output logic                   bready,
    input  logic [            0:0] bid,
    input  logic [            1:0] bresp,
    output logic                   done,
    output logic                   fault,       // DRAM has answered with an error
    output logic [            2:0] starts,      // units that take a command: load, execute, store
    output logic [            2:0] finishes,    // units that finish one
    output logic                   issues,      // a pixel enters the array
    output logic                   conflicts,   // one waits for its scratchpad bank
    output logic [            2:0] blockers,    // units that the next command for the array waits for
    output logic                   computes,    // the execute unit has a command that it works on
    output logic                   has_next,    // the execute unit has a command that it has not taken
    output logic [            2:0] stuck,       // units whose full queue keeps further commands back
    output logic                   ended,       // the last command has come
    output logic                   takes_rows,  // a beat of a tensor would be taken
    output logic [          415:0] elaborated   // the parameters, as far as the straps use them, 32 bits each
);
  localparam int WIDTH = 18;  // of a command's fields
  localparam int LOOPS = 12;
  localparam int MOVE_LOOPS = 4;
  localparam int LOOP = $clog2(LOOPS);
  localparam int MOVE_LOOP = $clog2(MOVE_LOOPS);
  localparam int PITCH = 1 << $clog2(DIM);
  localparam int SCRATCHPAD_ROWS = SCRATCHPAD_KIB * 1024 / DIM;
  localparam int ACCUMULATOR_ROWS = ACCUMULATOR_KIB * 256 / DIM;
  localparam int SP = $clog2(SCRATCHPAD_ROWS);
  localparam int ACC = $clog2(ACCUMULATOR_ROWS);
  localparam int LARGER = SP > ACC ? SP : ACC;
  localparam int ROW = (ACTIVATION_TABLES != 0 && LARGER < 8 ? 8 : LARGER) + 1;  // bits of a row, or of a number of rows
  localparam int SLOTS = QUEUE_DEPTH + 1;          // loop tables per unit: one is written while the queue is full
  localparam int SLOT = $clog2(SLOTS);
  localparam logic [SLOT-1:0] LAST_SLOT = SLOT'(SLOTS - 1);
  function automatic logic [31:0] used_of(input logic [31:0] strap, input logic [31:0] most);
    used_of = strap < most ? strap : most;
  endfunction
  assign elaborated = {
    32'(ACCUMULATOR_ROWS), 32'(SCRATCHPAD_ROWS), 32'(PITCH), 32'(ACTIVATION_TABLES),
    used_of(32'(queue_depth), QUEUE_DEPTH), used_of(32'(outstanding), OUTSTANDING), 32'(burst_rows), 32'(BUS_BYTES),
    used_of(32'(accumulator_banks), ACCUMULATOR_BANKS), 32'(ACCUMULATOR_KIB),
    used_of(32'(scratchpad_banks), SCRATCHPAD_BANKS), 32'(SCRATCHPAD_KIB), 32'(DIM)
  };

  // The port.
  logic fetch_request, fetch_taken, load_request, load_taken, chosen, choice, held;
  logic [31:0] fetch_address, load_address;
  logic [7:0] fetch_length, load_length;
  logic [8:0] store_beats;
  logic load_beat_taken, word_valid, word_taken;
  logic [63:0] word;
  assign choice = held ? chosen : fetch_request;  // what has been offered stays until it is taken
  assign arvalid = choice ? fetch_request : load_request;
  assign arid = choice;
  assign araddr = choice ? fetch_address : load_address;
  assign arlen = choice ? fetch_length : load_length;
  assign arsize = 3'($clog2(BUS_BYTES));
  assign arburst = 2'b01;
  assign fetch_taken = arvalid && arready && choice;
  assign load_taken = arvalid && arready && !choice;
  assign rready = rid[0] || load_beat_taken;
  assign takes_rows = load_beat_taken;
  assign awid = '0;
  assign awlen = 8'(store_beats - 1'b1);
  assign awsize = arsize;
  assign awburst = 2'b01;
  assign wstrb = '1;
  assign bready = 1'b1;
  always_ff @(posedge clk) begin
    held <= !reset && arvalid && !arready;
    chosen <= choice;
    fault <= !reset && (fault || (rvalid && rready && rresp != 0) || (bvalid && bresp != 0));
  end
  fetch #(.BUS(BUS_BYTES)) fetch (
      .clk, .reset, .stop(ended), .start_address(program_address), .request(fetch_request), .request_taken(fetch_taken),
      .request_address(fetch_address), .request_length(fetch_length), .beat(rvalid && rid[0]), .beat_data(rdata),
      .word_valid, .word, .word_taken
  );

  // The decoder puts a command's header together word by word; the words of its loops go into the tables of its unit.
  logic [63:0] header[8];
  logic [63:0] odd;
  logic [5:0] got, missing;
  logic whole, pushes, passes, is_move, puts;
  logic [3:0] opcode, loops, put_loop;
  logic [4:0] loop_word;
  logic [1:0] unit;
  logic [2:0] full, starting, ready, finishing, waiting, active, moves_unit;
  logic [SLOT-1:0] slot_in[3];
  logic [SLOT-1:0] slot_out[3];
  logic [127:0] put_words;

  assign opcode = header[0][3:0];
  assign loops = header[0][7:4];
  assign unit = 2'(opcode - 4'd1);
  assign is_move = opcode != 4'd4;
  assign pushes = whole && is_move && !full[unit];
  assign passes = pushes || (whole && !is_move && active == 0);
  assign stuck = whole && is_move && full[unit] ? 3'b001 << unit : '0;
  assign word_taken = word_valid && !ended && (!whole || passes);
  assign loop_word = 5'(got - 6'd8);
  assign put_loop = loop_word[4:1];
  assign puts = word_taken && !whole && got >= 6'd8 && loop_word[0];
  assign put_words = {word, odd};
  assign moves_unit = 3'b001 << unit;

  always_ff @(posedge clk) begin
    if (reset) begin
      got   <= '0;
      whole <= 1'b0;
      ended <= 1'b0;
    end else if (word_taken) begin
      if (whole || got == 0) begin
        if (word[3:0] == 4'd0) ended <= 1'b1;
        got <= word[3:0] == 4'd0 ? 6'd0 : 6'd1;
        missing <= 6'd7 + {1'b0, word[7:4], 1'b0};
        whole <= word[3:0] == 4'd4;
      end else begin
        got <= got + 1'b1;
        missing <= missing - 1'b1;
        whole <= missing == 6'd1;
      end
    end else if (passes) begin
      got   <= '0;
      whole <= 1'b0;
    end
    if (word_taken) begin
      odd <= word;
      if (whole || got == 0) header[0] <= word;
      else if (got < 6'd8) header[got[2:0]] <= word;
    end
    for (int u = 0; u < 3; u++)
      if (reset) begin
        slot_in[u] <= '0;
        slot_out[u] <= '0;
      end else begin
        if (pushes && unit == 2'(u)) slot_in[u] <= slot_in[u] == LAST_SLOT ? '0 : slot_in[u] + 1'b1;
        if (taken[u]) slot_out[u] <= slot_out[u] == LAST_SLOT ? '0 : slot_out[u] + 1'b1;
      end
  end

  hazards #(.DEPTH(QUEUE_DEPTH), .WIDTH(ROW)) hazards (
      .clk, .reset, .depth(queue_depth), .push(pushes), .push_unit(unit),
      .push_sums(unit == 2'd0 && header[0][8]),
      .push_a({header[1][WIDTH+:ROW], header[1][0+:ROW]}), .push_b({header[2][WIDTH+:ROW], header[2][0+:ROW]}),
      .push_c({header[3][WIDTH+:ROW], header[3][0+:ROW]}),
      .full, .start(starting), .ready, .finish(finishing), .waiting, .active, .blockers
  );
  assign starts = starting;
  assign finishes = finishing;
  assign has_next = waiting[1];
  assign done = ended && active == 0;

  // The queues: of each header what its unit needs.
  localparam int MOVES = 4 + 3 * ROW + 32;  // loops, row, run, stride, address
  localparam int LOAD = MOVES + 5 + 4 + 8;
  localparam int FLAGS = ACTIVATION_TABLES != 0 ? 4 : 3;  // of a store
  localparam int STORE = MOVES + FLAGS + 6 + 32 + 16 + 4;
  localparam int EXECUTE = 4 + 1 + 3 * ROW + 4 * WIDTH + 60 + 1;
  logic [MOVES-1:0] moved;
  logic [LOAD-1:0] load_header;
  logic [STORE-1:0] store_header;
  logic [EXECUTE-1:0] execute_header;
  logic [2:0] taken;  // a unit has its next command on its input
  assign moved = {loops, header[4][2*WIDTH+:ROW], header[4][WIDTH+:ROW], header[4][0+:ROW], header[5][31:0]};
  queue #(.WIDTH(LOAD), .DEPTH(QUEUE_DEPTH)) load_queue (
      .clk, .reset, .push(pushes && unit == 2'd0), .in({header[0][39:32], header[0][19:16], header[0][12:8], moved}),
      .take(starting[0]), .taken(load_header)
  );
  queue #(.WIDTH(EXECUTE), .DEPTH(QUEUE_DEPTH)) execute_queue (
      .clk, .reset, .push(pushes && unit == 2'd1),
      .in({
        header[0][9], header[7][59:0], header[6][2*WIDTH-1:0], header[5][2*WIDTH-1:0], header[4][2*WIDTH+:ROW],
        header[4][WIDTH+:ROW], header[4][0+:ROW], header[0][8], loops
      }),
      .take(starting[1]), .taken(execute_header)
  );
  queue #(.WIDTH(STORE), .DEPTH(QUEUE_DEPTH)) store_queue (
      .clk, .reset, .push(pushes && unit == 2'd2),
      .in({header[6][19:0], header[0][63:32], header[0][21:16], header[0][8+:FLAGS], moved}),
      .take(starting[2]), .taken(store_header)
  );
  always_ff @(posedge clk) taken <= reset ? '0 : starting;

  function automatic logic [LOOPS-1:0] used(input logic [3:0] number);
    used = ~({LOOPS{1'b1}} << number);
  endfunction

  logic load_idle, execute_ready, store_idle;
  assign starting = ready & {store_idle, execute_ready, load_idle} & ~taken;

  logic write, table_write, fill, fill_adds, fill_taken, input_want, input_grant, weight_want, weight_grant, add, add_fresh, row_want;
  logic row_may, row_grant;
  logic [ROW-1:0] write_row, fill_row, input_row, weight_row, add_row, row;
  logic [DIM*8-1:0] row_bytes, input_bytes, weight_bytes;
  logic [DIM*32-1:0] fill_sums, row_sums;
  logic [DIM*PSUM-1:0] add_sums;
  logic [LOOPS-1:0] load_loops, store_loops;
  assign load_loops = used(load_header[MOVES-4+:4]);
  assign store_loops = used(store_header[MOVES-4+:4]);

  load #(
      .DIM(DIM), .PITCH(PITCH), .BUS(BUS_BYTES), .OUTSTANDING(OUTSTANDING), .DEPTH(QUEUE_DEPTH), .LOOPS(MOVE_LOOPS),
      .WIDTH(ROW), .SLOTS(SLOTS)
  ) load (
      .clk, .reset, .burst(burst_rows), .most_held(outstanding),
      .put(puts && moves_unit[0]), .put_slot(slot_in[0]), .put_loop(put_loop[MOVE_LOOP-1:0]), .put_words,
      .start(taken[0]), .idle(load_idle), .finish(finishing[0]), .slot(slot_out[0]),
      .turning(load_loops[MOVE_LOOPS-1:0]),
      .to_accumulator(load_header[MOVES]), .narrow(load_header[MOVES+1]), .adds(load_header[MOVES+2]),
      .repeats(load_header[MOVES+3]), .transposes(load_header[MOVES+4]), .shift(load_header[MOVES+5+:4]),
      .scale(load_header[MOVES+9+:8]),
      .address(load_header[31:0]), .row(load_header[32+:ROW]), .run(load_header[32+ROW+:ROW]),
      .stride(load_header[32+2*ROW+:ROW]),
      .request(load_request), .request_taken(load_taken), .request_address(load_address), .request_length(load_length),
      .beat(rvalid && !rid[0]), .beat_data(rdata), .beat_taken(load_beat_taken),
      .write, .write_table(table_write), .write_row, .write_data(row_bytes), .fill, .fill_adds, .fill_taken, .fill_row, .fill_data(fill_sums)
  );
  localparam int AT = 5 + 3 * ROW;  // of y in the header of an execute command
  execute #(.DIM(DIM), .DATAFLOW(DATAFLOW), .PSUM(PSUM), .LOOPS(LOOPS), .WIDTH(ROW), .PIXEL(WIDTH), .SLOTS(SLOTS)) execute (
      .clk, .reset, .least_run, .put(puts && moves_unit[1]), .put_slot(slot_in[1]), .put_loop(put_loop[LOOP-1:0]), .put_words,
      .start(taken[1]), .ready(execute_ready), .finish(finishing[1]), .slot(slot_out[1]),
      .turning(used(execute_header[3:0])), .fresh(execute_header[4]), .holds_sums(execute_header[EXECUTE-1]),
      .input_row(execute_header[5+:ROW]), .weight_row(execute_header[5+ROW+:ROW]),
      .output_row(execute_header[5+2*ROW+:ROW]), .y(execute_header[AT+:WIDTH]), .x(execute_header[AT+WIDTH+:WIDTH]),
      .height(execute_header[AT+2*WIDTH+:WIDTH]), .width(execute_header[AT+3*WIDTH+:WIDTH]),
      .resting(execute_header[AT+4*WIDTH+:LOOPS]), .reduces(execute_header[AT+4*WIDTH+LOOPS+:LOOPS]),
      .block(execute_header[AT+4*WIDTH+2*LOOPS+:LOOPS]), .channels(execute_header[AT+4*WIDTH+3*LOOPS+:12]),
      .pixels_of_block(execute_header[AT+4*WIDTH+3*LOOPS+12+:12]),
      .input_want, .input_want_row(input_row), .input_grant, .input_data(input_bytes),
      .weight_want, .weight_want_row(weight_row), .weight_grant, .weight_data(weight_bytes),
      .add, .add_fresh, .add_row, .add_data(add_sums), .issues, .conflicts
  );
  localparam int SETTING = MOVES + FLAGS;  // of the shift in the header of a store command
  store #(
      .DIM(DIM), .PITCH(PITCH), .BUS(BUS_BYTES), .OUTSTANDING(OUTSTANDING), .LOOPS(MOVE_LOOPS), .WIDTH(ROW),
      .SLOTS(SLOTS), .TABLES(ACTIVATION_TABLES)
  ) store (
      .clk, .reset, .burst(burst_rows), .most_held(outstanding),
      .put(puts && moves_unit[2]), .put_slot(slot_in[2]), .put_loop(put_loop[MOVE_LOOP-1:0]), .put_words,
      .start(taken[2]), .idle(store_idle), .finish(finishing[2]), .slot(slot_out[2]),
      .turning(store_loops[MOVE_LOOPS-1:0]),
      .raw(store_header[MOVES]), .floating(store_header[MOVES+1]), .pools_totals(store_header[MOVES+2]),
      .looks(store_header[MOVES+FLAGS-1]), .shift(store_header[SETTING+:6]), .scale(store_header[SETTING+6+:32]),
      .low(store_header[SETTING+38+:8]), .high(store_header[SETTING+46+:8]), .pools(store_header[SETTING+54+:4]),
      .address(store_header[31:0]), .row(store_header[32+:ROW]), .run(store_header[32+ROW+:ROW]),
      .stride(store_header[32+2*ROW+:ROW]),
      .may_read(row_may), .read_want(row_want), .read_row(row), .read_grant(row_grant), .read_data(row_sums),
      .request(awvalid), .request_taken(awready), .request_address(awaddr), .request_beats(store_beats),
      .beat(wvalid), .beat_data(wdata), .beat_last(wlast), .beat_taken(wready), .answer(bvalid),
      .table_write, .table_entry(8'(write_row)), .table_data(row_bytes)
  );
  localparam int SP_SELECT = $clog2(SCRATCHPAD_BANKS);
  localparam int ACC_SELECT = $clog2(ACCUMULATOR_BANKS);
  scratchpad #(.DIM(DIM), .ROWS(SCRATCHPAD_ROWS), .BANKS(SCRATCHPAD_BANKS)) scratchpad (
      .clk, .banks(SP_SELECT'(scratchpad_banks - 1'b1)), .write, .write_row(write_row[SP-1:0]), .write_data(row_bytes),
      .a_want(input_want), .a_row(input_row[SP-1:0]), .a_grant(input_grant), .a_data(input_bytes),
      .b_want(weight_want), .b_row(weight_row[SP-1:0]), .b_grant(weight_grant), .b_data(weight_bytes)
  );
  accumulator #(.DIM(DIM), .ROWS(ACCUMULATOR_ROWS), .BANKS(ACCUMULATOR_BANKS), .PSUM(PSUM)) accumulator (
      .clk, .reset, .banks(ACC_SELECT'(accumulator_banks - 1'b1)),
      .add, .add_fresh, .add_row(add_row[ACC-1:0]), .add_data(add_sums),
      .may_read(row_may), .read_want(row_want), .read_row(row[ACC-1:0]), .read_grant(row_grant), .read_data(row_sums),
      .fill_want(fill), .fill_adds, .fill_row(fill_row[ACC-1:0]), .fill_data(fill_sums), .fill_grant(fill_taken)
  );

  logic [7:0] under_way;  // commands for the array, taken and not finished
  assign computes = under_way != 0;
  always_ff @(posedge clk) under_way <= reset ? '0 : under_way + 8'(starting[1]) - 8'(finishing[1]);
  wire unused = &{
    1'b0, waiting, header[1], header[2], header[3], header[4], header[5], header[6], header[7][63:60], header[0],
    write_row[ROW-1:SP], input_row[ROW-1:SP], weight_row[ROW-1:SP], add_row[ROW-1:ACC], row[ROW-1:ACC],
    fill_row[ROW-1:ACC], load_loops, store_loops, rlast, bid, loop_word, put_loop
  };
endmodule
