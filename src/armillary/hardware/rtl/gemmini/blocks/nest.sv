// An affine loop nest: every step moves all addresses by the jump of the loop that advances.
//
// Loop 0 is the innermost. Each loop is described by two words: in the lowest bits the iterations after its first one,
// of which there is at least one, and from OFFSETS on what to add to each address when it advances, which takes back
// what the loops inside it added. The words of the commands that wait lie in two memories, one for counts and one for
// jumps: a step needs the jump of one loop alone, which is read a cycle ahead.
//
// After a start, the counters are read one per cycle, the innermost first. No loop advances before all inside it have,
// so that steps need not wait for that, but for the first one.
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
    output logic                       valid,      // likewise, from one cycle later on: addresses are there
    input  logic                       step,
    output logic [ADDRESSES*WIDTH-1:0] addresses,
    output logic [          LOOPS-1:0] at_first,
    output logic [          LOOPS-1:0] at_end
);
  localparam logic [LOOPS-1:0] ONE = 1;
  logic starts_late;
  logic [SLOT-1:0] own_slot;
  logic [LOOPS-1:0] own_turning, pending, wanted, asked, arriving, ended, next_ended, advances, next_advances, inner, ones;
  logic [COUNT-1:0] turns;
  logic [LOOP-1:0] asking, jumping;
  logic [ADDRESSES*WIDTH-1:0] put_moves, moves;

  function automatic logic [LOOP-1:0] place(input logic [LOOPS-1:0] one_hot);
    place = '0;
    for (int l = 0; l < LOOPS; l++) if (one_hot[l]) place |= LOOP'(l);
  endfunction

  for (genvar a = 0; a < ADDRESSES; a++) begin : g_moves
    assign put_moves[a*WIDTH+:WIDTH] = put_words[32'(OFFSETS[a*8+:8])+:WIDTH];
  end
  assign wanted = start ? turning : pending;
  always_comb begin
    asked = '0;
    asking = '0;
    if (wanted != 0) begin
      asked  = wanted & (~wanted + ONE);
      asking = place(asked);
    end
  end
  sram_1r1w #(.WORDS(SLOTS << LOOP), .BITS(COUNT)) counts (
      .clk, .read(wanted != 0), .read_address({start ? slot : own_slot, asking}), .out(turns),
      .write(put), .write_address({put_slot, put_loop}), .in(put_words[COUNT-1:0])
  );
  sram_1r1w #(.WORDS(SLOTS << LOOP), .BITS(ADDRESSES * WIDTH)) jumps (
      .clk, .read(starts_late || step), .read_address({own_slot, jumping}), .out(moves),
      .write(put), .write_address({put_slot, put_loop}), .in(put_moves)
  );

  assign at_end = ended;
  assign busy = starts_late || valid;
  always_comb begin
    advances = '0;
    inner = '0;
    next_ended = ended;
    next_advances = '0;
    jumping = '0;
    if (step) begin
      advances = ~ended & (ended + ONE);  // the innermost loop that has iterations left
      inner = advances - ONE;             // all of them after the last step
      if (advances != 0) next_ended = (ended | (advances & ones)) & ~(inner & own_turning);
    end
    if (step || starts_late) begin
      next_advances = ~next_ended & (next_ended + ONE);
      jumping = place(next_advances);
    end
  end

  // `ones`: loops that have one iteration left.
  for (genvar l = 0; l < LOOPS; l++) begin : g_loop
    logic [COUNT-1:0] left, again;
    always_ff @(posedge clk) begin
      if (step && advances != 0)
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
    starts_late <= start && !reset;
    valid <= !reset && (starts_late || (valid && !(step && advances == 0)));
    arriving <= reset ? '0 : asked;
    pending <= reset ? '0 : wanted & ~asked;
    if (start) begin
      own_slot <= slot;
      own_turning <= turning;
      ended <= ~turning;
      addresses <= bases;
      at_first <= '1;
    end else if (step && advances != 0) begin
      ended <= next_ended;
      for (int a = 0; a < ADDRESSES; a++)
        addresses[a*WIDTH+:WIDTH] <= addresses[a*WIDTH+:WIDTH] + moves[a*WIDTH+:WIDTH];
      at_first <= (at_first & ~advances) | inner;
    end
  end
  wire unused = &{1'b0, put_words};  // not every nest takes every jump
endmodule
