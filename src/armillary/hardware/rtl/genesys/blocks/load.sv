// The load unit: rows of words from DRAM into a buffer, where they lie one behind the other.
//
// Requests are a beat each: a wide word takes several, a narrow one a part of a beat, which comes in its low bits. While
// the last words of an instruction are on their way, the requests of the next go out. The last request of an instruction
// has a mark that comes back with its beat.
module load #(
    parameter int PORT    = 128,
    parameter int INPUT   = 128,  // bits of a word of inputs
    parameter int WEIGHT  = 128,
    parameter int SUM     = 512,  // bits of a word of biases, and of the vector unit
    parameter int ADDRESS = 16,   // bits of the longest buffer's address
    parameter int TOKENS  = 6,
    parameter int PENDING = 4     // instructions whose words are on their way
) (
    input  logic               clk,
    input  logic               reset,
    input  logic               there,
    input  logic [       38:0] command,
    output logic               pop,
    input  logic [ TOKENS-1:0] tokens_there,
    output logic [ TOKENS-1:0] take,
    output logic [ TOKENS-1:0] give,
    output logic               idle,
    output logic               read_valid,
    input  logic               read_ready,
    output logic [       31:0] read_address,
    output logic               read_last,
    input  logic               in_valid,
    input  logic               in_last,
    input  logic [   PORT-1:0] in,
    output logic [        4:0] write,         // IBUF, WBUF, BBUF, VMEM1, VMEM2
    output logic               write_narrow,  // the word is one of inputs
    output logic [ADDRESS-1:0] write_address,
    output logic [    SUM-1:0] write_word
);
  localparam int COUNT = 20;
  localparam int INPUT_BEATS = INPUT > PORT ? INPUT / PORT : 1;
  localparam int WEIGHT_BEATS = WEIGHT > PORT ? WEIGHT / PORT : 1;
  localparam int SUM_BEATS = SUM > PORT ? SUM / PORT : 1;
  localparam int BEAT = $clog2(SUM_BEATS) > 0 ? $clog2(SUM_BEATS) : 1;
  localparam int PART = PORT < SUM ? PORT : SUM;
  localparam logic [2:0] IBUF = 3'd0, WBUF = 3'd1, BBUF = 3'd2, WIDE1 = 3'd5, WIDE2 = 3'd6;

  logic runs, start, requesting, requested, word_requested, fits;
  logic [5:0] index;
  logic [31:0] value;
  logic [3*COUNT-1:0] lasts;
  logic [2:0] advances, at_last, ends, firsts;
  logic [31:0] base, word_address, bytes;  // of a word
  logic [2*32-1:0] steps;
  logic [ADDRESS+2:0] target;
  logic [TOKENS-1:0] gives;
  logic [BEAT-1:0] beat, last_beat;

  assign {runs, index, value} = command;
  assign start = there && runs && !requesting && fits && (value[TOKENS-1:0] & ~tokens_there) == '0;
  assign pop = start || (there && !runs && !requesting);
  assign take = start ? value[TOKENS-1:0] : '0;

  registers #(.COUNT(3), .WIDTH(COUNT), .FIRST(0)) u_lasts (
      .clk(clk), .set(pop && !runs), .index(index), .value(value[COUNT-1:0]), .held(lasts)
  );
  registers #(.COUNT(1), .WIDTH(32), .FIRST(3)) u_base (
      .clk(clk), .set(pop && !runs), .index(index), .value(value), .held(base)
  );
  registers #(.COUNT(2), .WIDTH(32), .FIRST(4)) u_steps (
      .clk(clk), .set(pop && !runs), .index(index), .value(value), .held(steps)
  );
  registers #(.COUNT(1), .WIDTH(ADDRESS + 3), .FIRST(6)) u_target (
      .clk(clk), .set(pop && !runs), .index(index), .value({value[30:28], value[ADDRESS-1:0]}), .held(target)
  );

  // Requests.
  always_comb
    case (target[ADDRESS+:3])
      WBUF: {last_beat, bytes} = {BEAT'(WEIGHT_BEATS - 1), 32'(WEIGHT / 8)};
      BBUF, WIDE1, WIDE2: {last_beat, bytes} = {BEAT'(SUM_BEATS - 1), 32'(SUM / 8)};
      default: {last_beat, bytes} = {BEAT'(INPUT_BEATS - 1), 32'(INPUT / 8)};
    endcase
  assign word_requested = requesting && read_ready && beat == last_beat;
  assign requested = word_requested && ends[2];
  assign read_valid = requesting;
  assign read_address = word_address + 32'(beat) * 32'(PORT / 8);
  assign read_last = beat == last_beat && ends[2];

  nest #(.LEVELS(3), .COUNT(COUNT)) u_nest (
      .clk(clk), .reset(reset), .step(word_requested), .lasts(lasts), .firsts(firsts), .at_last(at_last),
      .ends(ends), .advances(advances)
  );
  walk #(.LEVELS(3), .WIDTH(32)) u_walk (
      .clk(clk), .start(start), .base(base), .step(word_requested), .advances(advances),
      .steps({steps, bytes}), .address(word_address)
  );

  always_ff @(posedge clk)
    if (reset) begin
      requesting <= 1'b0;
      beat <= '0;
    end else begin
      if (start) requesting <= 1'b1;
      else if (requested) requesting <= 1'b0;
      if (requesting && read_ready) beat <= word_requested ? '0 : beat + 1'b1;
    end

  // Words: `answered` is the instruction whose words come in.
  logic [ADDRESS+2:0] answered;
  logic [TOKENS-1:0] answered_gives;
  logic [ADDRESS-1:0] received;  // words
  logic [BEAT-1:0] part, last_part;
  logic waits, full, whole, writes, written_last;
  logic [2:0] kind;
  wire unused = &{1'b0, firsts, at_last, ends[1:0], waits, value[27:ADDRESS], value[31]};

  assign gives = value[8+:TOKENS];
  assign fits = !full;
  fifo #(.WIDTH(ADDRESS + 3 + TOKENS), .DEPTH(PENDING)) u_pending (
      .clk(clk), .reset(reset), .push(start), .in({gives, target}), .pop(in_valid && in_last),
      .out({answered_gives, answered}), .there(waits), .full(full)
  );

  always_comb
    case (answered[ADDRESS+:3])
      WBUF: last_part = BEAT'(WEIGHT_BEATS - 1);
      BBUF, WIDE1, WIDE2: last_part = BEAT'(SUM_BEATS - 1);
      default: last_part = BEAT'(INPUT_BEATS - 1);
    endcase
  assign whole = in_valid && part == last_part;
  for (genvar b = 0; b < SUM_BEATS; b++) begin : g_part
    always_ff @(posedge clk) if (in_valid && part == BEAT'(b)) write_word[b*PART+:PART] <= in[PART-1:0];
  end
  if (PORT > SUM) begin : g_rest
    wire unused_rest = &{1'b0, in[PORT-1:SUM]};
  end

  always_ff @(posedge clk) begin
    kind <= answered[ADDRESS+:3];
    write_address <= answered[ADDRESS-1:0] + received;
    give <= in_valid && in_last ? answered_gives : '0;
    if (reset) begin
      part <= '0;
      received <= '0;
      writes <= 1'b0;
    end else begin
      if (in_valid) part <= whole ? '0 : part + 1'b1;
      if (in_valid && in_last) received <= '0;
      else if (whole) received <= received + 1'b1;
      writes <= whole;
    end
    if (reset) written_last <= 1'b1;
    else written_last <= !waits;
  end

  always_comb begin
    write = '0;
    write_narrow = 1'b1;
    case (kind)
      IBUF: write[0] = writes;
      WBUF: write[1] = writes;
      BBUF: write[2] = writes;
      3'd3: write[3] = writes;
      3'd4: write[4] = writes;
      WIDE1: begin
        write[3] = writes;
        write_narrow = 1'b0;
      end
      WIDE2: begin
        write[4] = writes;
        write_narrow = 1'b0;
      end
      default: ;
    endcase
  end
  assign idle = !requesting && !waits && !writes && written_last;
endmodule
