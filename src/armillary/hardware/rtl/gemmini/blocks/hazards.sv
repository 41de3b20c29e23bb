// What each command in the queues still waits for.
//
// Every command names the scratchpad rows (two ranges) and accumulator rows that it touches. A new command waits for all
// older ones of the other units whose rows overlap with its own; those of its own unit go in order anyway. A unit's
// commands start and finish in order, so that counters tell which slot is meant.
module hazards #(
    parameter int DEPTH = 4,   // slots per unit
    parameter int WIDTH = 18   // of a row number
) (
    input  logic               clk,
    input  logic               reset,
    input  logic               push,
    input  logic [        1:0] push_unit,  // 0 load, 1 execute, 2 store
    input  logic [6*WIDTH-1:0] push_rows,  // from and to (exclusive) of ranges a, b and of the accumulator
    output logic [        2:0] full,
    input  logic [        2:0] start,      // a unit takes its oldest command that waits
    output logic [        2:0] ready,      // which waits for nothing
    input  logic [        2:0] finish,     // a unit has finished its oldest command
    output logic [        2:0] waiting,    // a unit has a command that it has not taken
    output logic [        2:0] active,     // a unit has a command, taken or not
    output logic [        2:0] blockers    // units that the execute unit's oldest command waits for
);
  localparam int SLOT = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam logic [SLOT-1:0] LAST = SLOT'(DEPTH - 1);
  localparam int SLOTS = 3 * DEPTH;  // those of the load unit first
  logic [6*WIDTH-1:0] rows[SLOTS];
  logic [SLOTS-1:0] needs[SLOTS];
  logic [SLOTS-1:0] valid, freed, overlaps;
  logic [SLOT-1:0] tail[3];
  logic [SLOT-1:0] next[3];
  logic [SLOT-1:0] head[3];
  logic [SLOT:0] used[3];
  logic [SLOT:0] untaken[3];

  function automatic logic [SLOT-1:0] after(input logic [SLOT-1:0] slot);
    after = slot == LAST ? '0 : slot + 1'b1;
  endfunction

  function automatic logic overlap(input logic [2*WIDTH-1:0] one, input logic [2*WIDTH-1:0] other);
    overlap = one[WIDTH-1:0] < other[2*WIDTH-1:WIDTH] && other[WIDTH-1:0] < one[2*WIDTH-1:WIDTH];
  endfunction

  always_comb begin
    freed = '0;
    for (int u = 0; u < 3; u++) begin
      full[u] = used[u] == (SLOT + 1)'(DEPTH);
      waiting[u] = untaken[u] != 0;
      active[u] = used[u] != 0;
      ready[u] = waiting[u] && needs[u*DEPTH+32'(next[u])] == 0;
      if (finish[u]) freed[u*DEPTH+32'(head[u])] = 1'b1;
    end
    for (int u = 0; u < 3; u++) blockers[u] = waiting[1] && needs[DEPTH+32'(next[1])][u*DEPTH+:DEPTH] != 0;
  end

  always_comb begin
    overlaps = '0;
    if (push)
      for (int s = 0; s < SLOTS; s++)
        overlaps[s] = s / DEPTH != 32'(push_unit) && valid[s] && !freed[s] &&
            (overlap(push_rows[0+:2*WIDTH], rows[s][0+:2*WIDTH]) ||
             overlap(push_rows[0+:2*WIDTH], rows[s][2*WIDTH+:2*WIDTH]) ||
             overlap(push_rows[2*WIDTH+:2*WIDTH], rows[s][0+:2*WIDTH]) ||
             overlap(push_rows[2*WIDTH+:2*WIDTH], rows[s][2*WIDTH+:2*WIDTH]) ||
             overlap(push_rows[4*WIDTH+:2*WIDTH], rows[s][4*WIDTH+:2*WIDTH]));
  end

  always_ff @(posedge clk)
    for (int u = 0; u < 3; u++)
      if (reset) begin
        tail[u] <= '0;
        next[u] <= '0;
        head[u] <= '0;
        used[u] <= '0;
        untaken[u] <= '0;
      end else begin
        if (push && push_unit == 2'(u)) tail[u] <= after(tail[u]);
        if (start[u]) next[u] <= after(next[u]);
        if (finish[u]) head[u] <= after(head[u]);
        used[u] <= used[u] + (SLOT + 1)'(push && push_unit == 2'(u)) - (SLOT + 1)'(finish[u]);
        untaken[u] <= untaken[u] + (SLOT + 1)'(push && push_unit == 2'(u)) - (SLOT + 1)'(start[u]);
      end

  always_ff @(posedge clk) begin
    if (finish != 0) for (int s = 0; s < SLOTS; s++) needs[s] <= needs[s] & ~freed;
    if (reset) valid <= '0;
    else if (finish != 0) valid <= valid & ~freed;
    if (push) begin
      valid[push_unit*DEPTH+32'(tail[push_unit])] <= 1'b1;
      rows[push_unit*DEPTH+32'(tail[push_unit])] <= push_rows;
      needs[push_unit*DEPTH+32'(tail[push_unit])] <= overlaps;
    end
  end
endmodule
