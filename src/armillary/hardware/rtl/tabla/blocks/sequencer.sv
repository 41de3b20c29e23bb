// Takes the words of inputs into one bank of data while the program runs on the other.
//
// The words of a step go to group after group of elements, as many as hold inputs, then to the next address of these. A step
// begins when all of its words are there and the step before has ended.
module sequencer #(
    parameter int GROUPS       = 4,    // of elements
    parameter int DATA         = 16,   // words of a bank of an element
    parameter int INSTRUCTIONS = 256,
    parameter int GROUP        = GROUPS > 1 ? $clog2(GROUPS) : 1,  // bits
    parameter int WORD         = $clog2(GROUPS * DATA)             // bits
) (
    input  logic                            clk,
    input  logic                            reset,
    input  logic [$clog2(INSTRUCTIONS)-1:0] last_pc,
    input  logic [                WORD-1:0] last_word,
    input  logic [               GROUP-1:0] last_group,
    input  logic                            in_valid,
    output logic                            in_ready,
    output logic [               GROUP-1:0] group,         // to which a word goes
    output logic [      $clog2(2*DATA)-1:0] load_address,
    output logic                            fetch,
    output logic [$clog2(INSTRUCTIONS)-1:0] pc,
    output logic                            active,        // what was fetched in the cycle before counts
    output logic                            bank,          // that it reads
    output logic                            step_done,     // the last instruction of a step counts
    output logic                            idle           // no step is under way or can begin
);
  logic [WORD-1:0] word;
  logic [$clog2(DATA)-1:0] row;
  logic [1:0] banks;  // that are full
  logic filled, fetched_bank, taken, complete, ends;

  assign in_ready = !banks[1];
  assign taken = in_valid && in_ready;
  assign complete = taken && word == last_word;
  assign ends = fetch && pc == last_pc;
  assign load_address = {filled, row};
  assign idle = !fetch && !active && banks == 0;
  always_ff @(posedge clk) begin
    active <= fetch && !reset;
    bank <= fetched_bank;
    step_done <= ends && !reset;
    if (reset) begin
      word <= '0;
      row <= '0;
      group <= '0;
      filled <= 1'b0;
      fetched_bank <= 1'b0;
      banks <= '0;
      fetch <= 1'b0;
      pc <= '0;
    end else begin
      if (taken) begin
        word <= complete ? '0 : word + 1;
        group <= complete || group == last_group ? '0 : group + 1;
        if (complete) row <= '0;
        else if (group == last_group) row <= row + 1;
        filled <= filled ^ complete;
      end
      banks <= banks + 2'(complete) - 2'(ends);
      fetched_bank <= fetched_bank ^ ends;
      fetch <= fetch && !ends || (ends ? banks[1] : banks != 0);
      pc <= fetch && !ends ? pc + 1 : '0;
    end
  end
endmodule
