// What each command in the queues still waits for.
//
// A command names the rows that it touches: a load those of one memory, an execute those of its inputs, weights and
// sums, a store those of its sums. A new command waits for all older ones of the other units whose rows overlap with its
// own; those of its own unit go in order anyway. A unit's commands start and finish in order, so that counters tell which
// slot is meant.
module hazards #(
    parameter int DEPTH = 4,   // slots per unit
    parameter int WIDTH = 18   // of a row number, or of the end of a range
) (
    input  logic               clk,
    input  logic               reset,
    input  logic [        4:0] depth,        // slots to use, at most DEPTH
    input  logic               push,
    input  logic [        1:0] push_unit,    // 0 load, 1 execute, 2 store
    input  logic               push_sums,    // a load into the accumulator
    input  logic [2*WIDTH-1:0] push_a,       // from and to (exclusive): of a load into the scratchpad, or of inputs
    input  logic [2*WIDTH-1:0] push_b,       // of weights
    input  logic [2*WIDTH-1:0] push_c,       // of the accumulator; what a command does not touch has from and to 0
    output logic [        2:0] full,
    input  logic [        2:0] start,        // a unit takes its oldest command that waits
    output logic [        2:0] ready,        // which waits for nothing
    input  logic [        2:0] finish,       // a unit has finished its oldest command
    output logic [        2:0] waiting,      // a unit has a command that it has not taken
    output logic [        2:0] active,       // a unit has a command, taken or not
    output logic [        2:0] blockers      // units that the execute unit's oldest command waits for
);
  localparam int SLOT = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam logic [SLOT-1:0] LAST = SLOT'(DEPTH - 1);
  localparam int SLOTS = 3 * DEPTH;  // those of the load unit first
  logic [2*WIDTH-1:0] load_rows[DEPTH];
  logic load_sums[DEPTH];
  logic [2*WIDTH-1:0] execute_a[DEPTH];
  logic [2*WIDTH-1:0] execute_b[DEPTH];
  logic [2*WIDTH-1:0] execute_c[DEPTH];
  logic [2*WIDTH-1:0] store_c[DEPTH];
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
      full[u] = 5'(used[u]) >= depth;
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
      for (int s = 0; s < DEPTH; s++) begin
        overlaps[s] = load_sums[s] ? overlap(push_c, load_rows[s]) :
            overlap(push_a, load_rows[s]) || overlap(push_b, load_rows[s]);
        overlaps[DEPTH+s] = overlap(push_a, execute_a[s]) || overlap(push_a, execute_b[s]) ||
            overlap(push_c, execute_c[s]);
        overlaps[2*DEPTH+s] = overlap(push_c, store_c[s]);
      end
    overlaps = overlaps & valid & ~freed;
  end

  always_ff @(posedge clk)
    for (int u = 0; u < 3; u++)
      if (reset) begin
        tail[u] <= '0;
        next[u] <= '0;
        head[u] <= '0;
        used[u] <= '0;
        untaken[u] <= '0;
      end else if (push || start[u] || finish[u]) begin
        if (push && push_unit == 2'(u)) tail[u] <= after(tail[u]);
        if (start[u]) next[u] <= after(next[u]);
        if (finish[u]) head[u] <= after(head[u]);
        used[u] <= used[u] + (SLOT + 1)'(push && push_unit == 2'(u)) - (SLOT + 1)'(finish[u]);
        untaken[u] <= untaken[u] + (SLOT + 1)'(push && push_unit == 2'(u)) - (SLOT + 1)'(start[u]);
      end

  // A unit's commands never wait for each other: their places in `needs` stay 0, and cost nothing.
  localparam logic [SLOTS-1:0] OWN = ((SLOTS)'(1) << DEPTH) - 1'b1;
  always_ff @(posedge clk)
    if (push || finish != 0)
      for (int u = 0; u < 3; u++)
        for (int s = 0; s < DEPTH; s++)
          if (push && push_unit == 2'(u) && tail[u] == SLOT'(s)) needs[u*DEPTH+s] <= overlaps & ~(OWN << u * DEPTH);
          else needs[u*DEPTH+s] <= needs[u*DEPTH+s] & ~freed & ~(OWN << u * DEPTH);

  always_ff @(posedge clk) begin
    if (reset) valid <= '0;
    else begin
      if (finish != 0) valid <= valid & ~freed;
      if (push) valid[32'(push_unit)*DEPTH+32'(tail[push_unit])] <= 1'b1;
    end
    if (push && push_unit == 2'd0) begin
      load_rows[tail[0]] <= push_sums ? push_c : push_a;
      load_sums[tail[0]] <= push_sums;
    end
    if (push && push_unit == 2'd1) begin
      execute_a[tail[1]] <= push_a;
      execute_b[tail[1]] <= push_b;
      execute_c[tail[1]] <= push_c;
    end
    if (push && push_unit == 2'd2) store_c[tail[2]] <= push_c;
  end
endmodule
