// The vector unit: as many lanes as the array has columns, an operation on words that five loops name.
//
// A word comes from the sums or a memory of the unit, a second one from a memory, the instruction (the same number in
// every lane) or the first; the value goes to a memory or, saturated, to DRAM. Values may be reduced over inner loops.
// Seven cycles after an element's addresses its value is there. An instruction begins when that before it is done.
module vector_unit #(
    parameter int LANES   = 16,
    parameter int DATA    = 8,
    parameter int PORT    = 128,
    parameter int OBUF    = 11,  // bits of addresses
    parameter int VMEM    = 10,
    parameter int TOKENS  = 6,
    parameter int WAITING = 10   // words for DRAM; fewer than ten cost throughput
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                there,
    input  logic [        38:0] command,
    output logic                pop,
    input  logic [  TOKENS-1:0] tokens_there,
    output logic [  TOKENS-1:0] take,
    output logic [  TOKENS-1:0] give,
    output logic                idle,
    output logic                sums_read,
    output logic [    OBUF-1:0] sums_address,
    input  logic [LANES*32-1:0] sums_word,
    output logic [         1:0] vmem_read,
    output logic [  2*VMEM-1:0] vmem_address,
    input  logic [LANES*64-1:0] vmem_words,
    output logic [         1:0] vmem_write,
    output logic [    VMEM-1:0] write_address,
    output logic [LANES*32-1:0] write_word,
    output logic                out_valid,
    input  logic                out_ready,
    output logic [        31:0] out_address,
    output logic [    PORT-1:0] out
);
  localparam int COUNT = 16, LEVELS = 5;
  localparam int SOURCE = OBUF > VMEM ? OBUF : VMEM;
  localparam int DEPTH = 7;
  localparam int FREE = $clog2(WAITING + 1);
  localparam int WORD = LANES * DATA;
  localparam int BEATS = WORD > PORT ? WORD / PORT : 1;
  localparam int BEAT = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;

  logic runs, start, set, busy, issuing, issue;
  logic [5:0] index;
  logic [31:0] value, immediate, target_base;
  logic [LEVELS*COUNT-1:0] lasts;
  logic [LEVELS*SOURCE-1:0] first_steps, second_steps;
  logic [SOURCE-1:0] first_base, second_base, first_address, second_address;
  logic [LEVELS*32-1:0] target_steps;
  logic [LEVELS-1:0] firsts, at_last, ends, advances;
  logic [TOKENS-1:0] gives;

  assign {runs, index, value} = command;
  assign start = there && runs && !busy && (value[TOKENS-1:0] & ~tokens_there) == '0;
  assign set = there && !runs && !busy;
  assign pop = start || set;
  assign take = start ? value[TOKENS-1:0] : '0;
  assign idle = !busy;

  registers #(.COUNT(LEVELS), .WIDTH(COUNT), .FIRST(0)) u_lasts (
      .clk(clk), .set(set), .index(index), .value(value[COUNT-1:0]), .held(lasts)
  );
  registers #(.COUNT(LEVELS), .WIDTH(SOURCE), .FIRST(8)) u_first_steps (
      .clk(clk), .set(set), .index(index), .value(value[SOURCE-1:0]), .held(first_steps)
  );
  registers #(.COUNT(1), .WIDTH(SOURCE), .FIRST(13)) u_first_base (
      .clk(clk), .set(set), .index(index), .value(value[SOURCE-1:0]), .held(first_base)
  );
  registers #(.COUNT(LEVELS), .WIDTH(SOURCE), .FIRST(16)) u_second_steps (
      .clk(clk), .set(set), .index(index), .value(value[SOURCE-1:0]), .held(second_steps)
  );
  registers #(.COUNT(1), .WIDTH(SOURCE), .FIRST(21)) u_second_base (
      .clk(clk), .set(set), .index(index), .value(value[SOURCE-1:0]), .held(second_base)
  );
  registers #(.COUNT(LEVELS), .WIDTH(32), .FIRST(24)) u_target_steps (
      .clk(clk), .set(set), .index(index), .value(value), .held(target_steps)
  );
  registers #(.COUNT(1), .WIDTH(32), .FIRST(29)) u_target_base (
      .clk(clk), .set(set), .index(index), .value(value), .held(target_base)
  );
  registers #(.COUNT(1), .WIDTH(32), .FIRST(32)) u_immediate (
      .clk(clk), .set(set), .index(index), .value(value), .held(immediate)
  );
  logic [3:0] op;
  logic [1:0] first_from, second_from, reduce;  // sums or VMEM1, 2; instruction, VMEM1, 2 or the first
  logic [1:0] target;                           // 1, 2: VMEM1, 2; 3: DRAM
  logic [5:0] shift;
  logic relu, to_dram;
  logic [LEVELS-1:0] reduced;
  registers #(.COUNT(1), .WIDTH(24), .FIRST(33)) u_mode (
      .clk(clk), .set(set), .index(index), .value(value[23:0]),
      .held({reduced, reduce, relu, shift, target, second_from, first_from, op})
  );
  assign to_dram = target == 2'd3;

  // Elements.
  logic writes, last_element;
  logic [FREE-1:0] free;
  assign writes = (ends | ~reduced) == '1;
  assign issue = issuing && (!to_dram || !writes || free != '0);
  assign last_element = ends[LEVELS-1];
  nest #(.LEVELS(LEVELS), .COUNT(COUNT)) u_nest (
      .clk(clk), .reset(reset), .step(issue), .lasts(lasts), .firsts(firsts), .at_last(at_last), .ends(ends),
      .advances(advances)
  );
  walk #(.LEVELS(LEVELS), .WIDTH(SOURCE)) u_first (
      .clk(clk), .start(start), .base(first_base), .step(issue), .advances(advances), .steps(first_steps),
      .address(first_address)
  );
  walk #(.LEVELS(LEVELS), .WIDTH(SOURCE)) u_second (
      .clk(clk), .start(start), .base(second_base), .step(issue), .advances(advances), .steps(second_steps),
      .address(second_address)
  );
  assign sums_read = issue && first_from == 2'd0;
  assign sums_address = first_address[OBUF-1:0];
  for (genvar v = 0; v < 2; v++) begin : g_vmem
    assign vmem_read[v] = issue && (first_from == 2'(v + 1) || second_from == 2'(v + 1));
    assign vmem_address[v*VMEM+:VMEM] = first_from == 2'(v + 1) ? first_address[VMEM-1:0] : second_address[VMEM-1:0];
  end

  // What goes along with an element; the last stage is that of its value.
  logic [DEPTH-1:0] valid, live, first;
  logic [DEPTH*(LEVELS+1)-1:0] along;  // the level that goes on, and whether it is the last element
  logic [LEVELS-1:0] value_advances;
  logic value_valid, value_last, out_taken, out_last, done;
  assign value_valid = valid[DEPTH-1];
  assign {value_last, value_advances} = along[(DEPTH-1)*(LEVELS+1)+:LEVELS+1];
  assign done = busy && (to_dram ? out_taken && out_last : value_valid && value_last);
  assign give = done ? gives : '0;
  always_ff @(posedge clk) begin
    live <= {live[DEPTH-2:0], issue};
    first <= {first[DEPTH-2:0], (firsts | ~reduced) == '1};
    along <= {along[0+:(DEPTH-1)*(LEVELS+1)], last_element, advances};
    if (start) gives <= value[8+:TOKENS];
    if (reset) begin
      valid <= '0;
      busy <= 1'b0;
      issuing <= 1'b0;
      free <= FREE'(WAITING);
    end else begin
      valid <= {valid[DEPTH-2:0], issue && writes};
      if (start) busy <= 1'b1;
      else if (done) busy <= 1'b0;
      if (start) issuing <= 1'b1;
      else if (issue && last_element) issuing <= 1'b0;
      if (issue && writes && to_dram && !out_taken) free <= free - 1'b1;
      if (out_taken && !(issue && writes && to_dram)) free <= free + 1'b1;
    end
  end

  // Lanes.
  logic [WORD-1:0] narrow;
  for (genvar n = 0; n < LANES; n++) begin : g_lane
    logic signed [31:0] a, b, result;
    always_comb begin
      a = sums_word[n*32+:32];
      if (first_from == 2'd1) a = vmem_words[n*32+:32];
      if (first_from == 2'd2) a = vmem_words[(LANES+n)*32+:32];
      case (second_from)
        2'd1: b = vmem_words[n*32+:32];
        2'd2: b = vmem_words[(LANES+n)*32+:32];
        2'd3: b = a;
        default: b = immediate;
      endcase
    end
    lane u_lane (
        .clk(clk), .op(op), .shift(shift), .relu(relu), .reduce(reduce), .there(live[DEPTH-2]),
        .first(first[DEPTH-2]), .a_in(a), .b_in(b), .value(result)
    );
    assign write_word[n*32+:32] = result;
    assign narrow[n*DATA+:DATA] = result[31:DATA-1] == '0 || result[31:DATA-1] == '1 ?
        result[DATA-1:0] : {result[31], {DATA - 1{!result[31]}}};
  end

  // Values to a memory, or to DRAM beat by beat.
  logic [WORD-1:0] word;
  logic [LEVELS-1:0] out_advances, moves;
  logic [BEAT-1:0] beat;
  logic [31:0] address;
  logic full;
  for (genvar v = 0; v < 2; v++) begin : g_write
    assign vmem_write[v] = value_valid && target == 2'(v + 1);
  end
  fifo #(.WIDTH(WORD + LEVELS + 1), .DEPTH(WAITING)) u_out (
      .clk(clk), .reset(reset), .push(value_valid && to_dram), .in({value_last, value_advances, narrow}),
      .pop(out_taken), .out({out_last, out_advances, word}), .there(out_valid), .full(full)
  );
  assign out_taken = out_valid && out_ready && beat == BEAT'(BEATS - 1);
  assign moves = to_dram ? out_advances : value_advances;
  walk #(.LEVELS(LEVELS), .WIDTH(32)) u_target (
      .clk(clk), .start(start), .base(target_base), .step(to_dram ? out_taken : value_valid), .advances(moves),
      .steps(target_steps), .address(address)
  );
  assign write_address = address[VMEM-1:0];
  assign out_address = address + 32'(beat) * 32'(PORT / 8);
  if (WORD > PORT) begin : g_wide
    always_comb begin
      out = '0;
      for (int b = 0; b < BEATS; b++) if (beat == BEAT'(b)) out = word[b*PORT+:PORT];
    end
    always_ff @(posedge clk)
      if (reset) beat <= '0;
      else if (out_valid && out_ready) beat <= out_taken ? '0 : beat + 1'b1;
  end else begin : g_narrow
    assign out  = PORT'(word);
    assign beat = '0;
  end
  wire unused = &{1'b0, value[7:TOKENS], value[31:24], at_last, full, first_address, second_address, live[DEPTH-1],
                   first[DEPTH-1]};
endmodule
