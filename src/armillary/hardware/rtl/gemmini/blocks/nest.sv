// An affine loop nest: every step moves all addresses by the jump of the loop that advances.
//
// Loop 0 is the innermost. Each loop is described by two words: in the lowest bits the iterations after its first one,
// of which there is at least one, and from OFFSETS on what to add to each address when it advances, which takes back
// what the loops inside it added. The words of the commands that wait lie in two memories, one for counts and one for
// jumps: a step needs the jump of one loop alone, which is read a cycle ahead. Which loop that is after the next step
// is known before the step, which comes late in its cycle and decides only whether all this moves on.
//
// From the cycle after a start on, the counters are read one per cycle, the innermost first. No loop advances before all
// inside it have, so that steps need not wait for that, but for the first one.
module nest #(
    parameter int LOOPS = 4,
    parameter int ADDRESSES = 2,
    parameter int WIDTH = 18,  // of an address and its jumps
    parameter int COUNT = 18,
    parameter int SLOTS = 4,   // commands that wait
    parameter logic [ADDRESSES*8-1:0] OFFSETS = '0,
    parameter int SLOT = $clog2(SLOTS),
    parameter int LOOP = $clog2(LOOPS)
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic                       put,        // write the words of a loop
    input  logic [           SLOT-1:0] put_slot,
    input  logic [           LOOP-1:0] put_loop,
    input  logic [              127:0] put_words,
    input  logic                       start,
    input  logic [           SLOT-1:0] slot,
    input  logic [          LOOPS-1:0] turning,    // loops to walk over
    input  logic [ADDRESSES*WIDTH-1:0] bases,
    output logic                       busy,       // from the cycle after the start until the last step
    output logic                       valid,      // likewise, from two cycles later on: addresses are there
    input  logic                       step,
    output logic [ADDRESSES*WIDTH-1:0] addresses,
    output logic [          LOOPS-1:0] at_first,
    output logic [          LOOPS-1:0] at_end
);
  localparam logic [LOOPS-1:0] ONE = 1;
  logic opened, starts_late;  // one and two cycles after the start
  logic [SLOT-1:0] own_slot;
  logic [LOOPS-1:0] own_turning, pending, asked, arriving, ended, next_ended, advances, next_advances, inner, ones;
  logic [COUNT-1:0] turns;
  logic [LOOP-1:0] asking, jumping;
  logic [ADDRESSES*WIDTH-1:0] put_moves, moves;
  logic any_advances;

  function automatic logic [LOOP-1:0] place(input logic [LOOPS-1:0] one_hot);
    place = '0;
    for (int l = 0; l < LOOPS; l++) if (one_hot[l]) place |= LOOP'(l);
  endfunction
  function automatic logic [LOOPS-1:0] lowest(input logic [LOOPS-1:0] set);
    lowest = set & (~set + ONE);
  endfunction

  for (genvar a = 0; a < ADDRESSES; a++) begin : g_moves
    assign put_moves[a*WIDTH+:WIDTH] = put_words[32'(OFFSETS[a*8+:8])+:WIDTH];
  end
  always_comb begin
    asked = '0;
    asking = '0;
    if (pending != 0) begin
      asked  = lowest(pending);
      asking = place(asked);
    end
  end
  sram_1r1w #(.WORDS(SLOTS << LOOP), .BITS(COUNT)) counts (
      .clk, .read(pending != 0), .read_address({own_slot, asking}), .out(turns),
      .write(put), .write_address({put_slot, put_loop}), .in(put_words[COUNT-1:0])
  );
  sram_1r1w #(.WORDS(SLOTS << LOOP), .BITS(ADDRESSES * WIDTH)) jumps (
      .clk, .read(starts_late || step), .read_address({own_slot, jumping}), .out(moves),
      .write(put), .write_address({put_slot, put_loop}), .in(put_moves)
  );

  // `advances`: the innermost loop that has iterations left, none before the last step.
  assign at_end = ended;
  assign busy = opened || starts_late || valid;
  always_comb begin
    inner = '0;
    next_ended = ended;
    next_advances = advances;
    jumping = '0;
    if (starts_late || valid) begin
      inner = advances - ONE;
      if (!starts_late) begin
        next_ended = (ended | (advances & ones)) & ~(inner & own_turning);
        next_advances = lowest(~next_ended);
      end
      jumping = place(next_advances);
    end
  end

  // `ones`: loops that have one iteration left.
  for (genvar l = 0; l < LOOPS; l++) begin : g_loop
    logic [COUNT-1:0] left, again;
    always_ff @(posedge clk) begin
      if (step && any_advances)
        if (advances[l]) begin
          left <= left - 1'b1;
          ones[l] <= left == 2;
        end else if (inner[l]) begin
          left <= again;
          ones[l] <= again == 1;
        end
      if (arriving != 0)
        if (arriving[l]) begin
          left <= turns;
          again <= turns;
          ones[l] <= turns == 1;
        end
    end
  end

  always_ff @(posedge clk) begin
    opened <= start && !reset;
    starts_late <= opened && !reset;
    valid <= !reset && (starts_late || (valid && !(step && !any_advances)));
    arriving <= reset ? '0 : asked;
    pending <= reset ? '0 : start ? turning : pending & ~asked;
    if (start) begin
      own_slot <= slot;
      own_turning <= turning;
      ended <= ~turning;
      addresses <= bases;
      at_first <= '1;
    end else if (opened) begin
      advances <= asked;
      any_advances <= pending != 0;
    end else if (step && any_advances) begin
      ended <= next_ended;
      advances <= next_advances;
      any_advances <= next_ended != '1;
      for (int a = 0; a < ADDRESSES; a++)
        addresses[a*WIDTH+:WIDTH] <= addresses[a*WIDTH+:WIDTH] + moves[a*WIDTH+:WIDTH];
      at_first <= (at_first & ~advances) | inner;
    end
  end
  wire unused = &{1'b0, put_words};  // not every nest takes every jump
endmodule
