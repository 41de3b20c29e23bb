// The control of the array: blocks of weights, and under each the words of inputs that meet it.
//
// Six loops: words of a row, rows, filter columns, filter rows, blocks of input channels, blocks of output channels. The
// inner two are those of a block. The next block's weights enter row by row while the last of its inputs pass; a block
// takes ARRAY cycles at least, and four, so that its sums are written before they are read again. Results leave 2 * ARRAY cycles after their inputs were read; the next instruction does not
// wait for them.
module array_control #(
    parameter int ARRAY  = 16,
    parameter int IBUF   = 12,  // bits of each buffer's address
    parameter int WBUF   = 12,
    parameter int OBUF   = 11,
    parameter int BBUF   = 6,
    parameter int TOKENS = 6
) (
    input  logic              clk,
    input  logic              reset,
    input  logic              there,
    input  logic [      38:0] command,
    output logic              pop,
    input  logic [TOKENS-1:0] tokens_there,
    output logic [TOKENS-1:0] take,
    output logic [TOKENS-1:0] give,
    output logic              idle,
    output logic              wbuf_read,
    output logic [  WBUF-1:0] wbuf_address,
    output logic [ ARRAY-1:0] weight_write,  // row, in the cycle after its weights are read
    output logic              ibuf_read,
    output logic [  IBUF-1:0] ibuf_address,
    output logic              in_begins,     // in the cycle after the inputs are read
    output logic              sum_valid,     // a result comes in the next cycle
    output logic [       1:0] sum_from,      // and is added to nothing, the bias or the sum of before
    output logic [  OBUF-1:0] sum_address,
    output logic [  BBUF-1:0] bias_address
);
  localparam int COUNT = 16;
  localparam int ROW = $clog2(ARRAY);
  localparam int LATENCY = 2 * ARRAY;
  localparam int LEAST = ARRAY > 4 ? ARRAY : 4;
  localparam int TICK = $clog2(LEAST) + 1;
  localparam logic [TICK-1:0] LAST_TICK = TICK'(LEAST - 1);
  localparam logic [1:0] OLD = 2'd2;

  logic runs, start, set, running, step, waiting, block_ends;
  logic [5:0] index;
  logic [31:0] value;
  logic [6*COUNT-1:0] lasts;
  logic [6*IBUF-1:0] input_steps;
  logic [6*OBUF-1:0] sum_steps;
  logic [IBUF-1:0] input_base;
  logic [OBUF-1:0] sum_base, address;
  logic [BBUF-1:0] bias_base, bias;
  logic [WBUF-1:0] weight_base;
  logic [1:0] mode, from;
  logic [5:0] firsts, at_last, ends, advances;
  logic [TOKENS-1:0] gives;

  assign {runs, index, value} = command;
  assign start = there && runs && !running && (value[TOKENS-1:0] & ~tokens_there) == '0;
  assign set = there && !runs && !running;
  assign pop = start || set;
  assign take = start ? value[TOKENS-1:0] : '0;

  registers #(.COUNT(6), .WIDTH(COUNT), .FIRST(0)) u_lasts (
      .clk(clk), .set(set), .index(index), .value(value[COUNT-1:0]), .held(lasts)
  );
  registers #(.COUNT(6), .WIDTH(IBUF), .FIRST(8)) u_input_steps (
      .clk(clk), .set(set), .index(index), .value(value[IBUF-1:0]), .held(input_steps)
  );
  registers #(.COUNT(1), .WIDTH(IBUF), .FIRST(14)) u_input_base (
      .clk(clk), .set(set), .index(index), .value(value[IBUF-1:0]), .held(input_base)
  );
  registers #(.COUNT(6), .WIDTH(OBUF), .FIRST(16)) u_sum_steps (
      .clk(clk), .set(set), .index(index), .value(value[OBUF-1:0]), .held(sum_steps)
  );
  registers #(.COUNT(1), .WIDTH(OBUF), .FIRST(22)) u_sum_base (
      .clk(clk), .set(set), .index(index), .value(value[OBUF-1:0]), .held(sum_base)
  );
  registers #(.COUNT(1), .WIDTH(BBUF), .FIRST(30)) u_bias_base (
      .clk(clk), .set(set), .index(index), .value(value[BBUF-1:0]), .held(bias_base)
  );
  registers #(.COUNT(1), .WIDTH(WBUF), .FIRST(31)) u_weight_base (
      .clk(clk), .set(set), .index(index), .value(value[WBUF-1:0]), .held(weight_base)
  );
  registers #(.COUNT(1), .WIDTH(2), .FIRST(32)) u_mode (
      .clk(clk), .set(set), .index(index), .value(value[1:0]), .held(mode)
  );

  // Blocks. `tick` counts a block's cycles, up to the first in which the next one's may follow.
  logic begun;  // the first block has its weights on their way
  logic [TICK-1:0] tick;
  logic is_last, was_last;
  assign step = running && begun && !waiting;
  assign is_last = waiting ? was_last : at_last[5:2] == '1;
  assign block_ends = running && (waiting || (step && ends[1])) && tick >= LAST_TICK;

  nest #(.LEVELS(6), .COUNT(COUNT)) u_nest (
      .clk(clk), .reset(reset), .step(step), .lasts(lasts), .firsts(firsts), .at_last(at_last), .ends(ends),
      .advances(advances)
  );
  walk #(.LEVELS(6), .WIDTH(IBUF)) u_input (
      .clk(clk), .start(start), .base(input_base), .step(step), .advances(advances), .steps(input_steps),
      .address(ibuf_address)
  );
  walk #(.LEVELS(6), .WIDTH(OBUF)) u_sum (
      .clk(clk), .start(start), .base(sum_base), .step(step), .advances(advances), .steps(sum_steps), .address(address)
  );
  walk #(.LEVELS(1), .WIDTH(BBUF)) u_bias (
      .clk(clk), .start(start), .base(bias_base), .step(step), .advances(advances[5]), .steps(BBUF'(1)), .address(bias)
  );
  assign ibuf_read = step;
  assign from = firsts[4:2] == '1 ? mode : OLD;

  always_ff @(posedge clk) begin
    if (step) was_last <= ends[5];
    if (start || block_ends) tick <= '0;
    else if (running && begun && tick <= LAST_TICK) tick <= tick + 1'b1;
    in_begins <= step && firsts[1:0] == '1;
    if (start) gives <= value[8+:TOKENS];
    if (reset) begin
      running <= 1'b0;
      begun   <= 1'b0;
      waiting <= 1'b0;
    end else begin
      if (start) running <= 1'b1;
      else if (block_ends && is_last) running <= 1'b0;
      begun   <= running && !(block_ends && is_last);
      waiting <= (waiting || (step && ends[1])) && !block_ends;
    end
  end

  // Weights: those of the first block at once, those of the next as soon as no weight in use is overtaken.
  logic weights_start, weights_run;
  logic [ROW-1:0] row;
  assign weights_start = running && (!begun || (tick == LAST_TICK && !is_last));
  assign wbuf_read = weights_start || weights_run;
  always_ff @(posedge clk) begin
    for (int m = 0; m < ARRAY; m++) weight_write[m] <= wbuf_read && row == ROW'(m);
    if (start) wbuf_address <= weight_base;
    else if (wbuf_read) wbuf_address <= wbuf_address + 1'b1;
    if (reset) begin
      row <= '0;
      weights_run <= 1'b0;
    end else if (wbuf_read) begin
      row <= row + 1'b1;
      weights_run <= row != ROW'(ARRAY - 1);
    end
  end

  // Results, LATENCY cycles after their inputs were read.
  logic [LATENCY-1:0] valid, last;
  logic [1:0] written_last;
  logic [TOKENS-1:0] late_gives;
  logic [2*TOKENS-1:0] written_gives;
  logic [2:0] under_way;  // instructions
  assign sum_valid = valid[LATENCY-1];
  assign give = written_last[1] ? written_gives[TOKENS+:TOKENS] : '0;
  assign idle = !running && under_way == '0;
  delay #(
      .WIDTH (2 + OBUF + BBUF + TOKENS),
      .CYCLES(LATENCY)
  ) u_results (
      .clk(clk),
      .in ({from, address, bias, gives}),
      .out({sum_from, sum_address, bias_address, late_gives})
  );
  always_ff @(posedge clk) begin
    written_gives <= {written_gives[0+:TOKENS], late_gives};
    if (reset) begin
      valid <= '0;
      last <= '0;
      written_last <= '0;
      under_way <= '0;
    end else begin
      valid <= {valid[LATENCY-2:0], step};
      last <= {last[LATENCY-2:0], step && ends[5]};
      written_last <= {written_last[0], last[LATENCY-1]};
      if (start && !written_last[1]) under_way <= under_way + 1'b1;
      if (written_last[1] && !start) under_way <= under_way - 1'b1;
    end
  end
  wire unused = &{1'b0, value[7:TOKENS], value[31:16], firsts[5], at_last[1:0], ends[4:2],
                   ends[0]};
endmodule
