// Reads instructions from DRAM ahead of their use, and hands them to the queues of the units in order.
//
// An instruction has 64 bits: the unit (0 ends the program, 1 load, 2 array, 3 vector), whether it runs or sets
// a register, the register's index, and a value.
module fetch #(
    parameter int AHEAD   = 16,
    parameter int COMMAND = 39
) (
    input  logic               clk,
    input  logic               reset,
    input  logic               start,
    input  logic [       31:0] program_address,
    output logic               done,
    output logic               read_valid,
    input  logic               read_ready,
    output logic [       31:0] read_address,
    input  logic               in_valid,
    input  logic [       63:0] in,
    output logic [        2:0] push,             // load, array, vector
    output logic [COMMAND-1:0] command,          // runs, index, value
    input  logic [        2:0] full,
    input  logic               idle              // nothing is left to do in any unit or its queue
);
  localparam int COUNT = $clog2(AHEAD + 1);
  logic [COMMAND+1:0] head;
  logic [COUNT-1:0] free;
  logic [1:0] unit;
  logic running, pop, there, fifo_full;
  wire unused = &{1'b0, in[63:62], in[59:57], in[55:54], in[47:32], fifo_full};

  fifo #(
      .WIDTH(COMMAND + 2),
      .DEPTH(AHEAD)
  ) u_ahead (
      .clk  (clk),
      .reset(reset),
      .push (in_valid),
      .in   ({in[61:60], in[56], in[53:48], in[31:0]}),
      .pop  (pop),
      .out  (head),
      .there(there),
      .full (fifo_full)
  );

  assign {unit, command} = head;
  assign pop = push != '0;
  always_comb begin
    push = '0;
    for (int u = 0; u < 3; u++) push[u] = there && unit == 2'(u + 1) && !full[u];
  end
  assign done = there && unit == 2'd0 && idle;
  assign read_valid = running && free != '0;

  always_ff @(posedge clk) begin
    if (start) read_address <= program_address;
    else if (read_valid && read_ready) read_address <= read_address + 32'd8;
    if (reset) begin
      running <= 1'b0;
      free <= COUNT'(AHEAD);
    end else begin
      if (start) running <= 1'b1;
      else if (in_valid && in[61:60] == 2'd0) running <= 1'b0;
      if (read_valid && read_ready && !pop) free <= free - 1'b1;
      if (pop && !(read_valid && read_ready)) free <= free + 1'b1;
    end
  end
endmodule
