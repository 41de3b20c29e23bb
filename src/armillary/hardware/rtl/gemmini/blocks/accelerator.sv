// The accelerator: the core, as large as its parameters say. What its ports mean stands there.
module accelerator #(
    parameter int DIM               = 16,  // rows and columns of the array
    parameter int DATAFLOW          = 1,   // 1 weight stationary, 2 output stationary, 3 either, as commands say
    parameter int SCRATCHPAD_KIB    = 256,
    parameter int SCRATCHPAD_BANKS  = 4,
    parameter int ACCUMULATOR_KIB   = 64,
    parameter int ACCUMULATOR_BANKS = 2,
    parameter int BUS_BYTES         = 16,  // per beat
    parameter int BURST_ROWS        = 8,   // most rows per request
    parameter int OUTSTANDING       = 8,   // requests under way
    parameter int QUEUE_DEPTH       = 4,   // commands per unit
    parameter int ACTIVATION_TABLES = 0,   // 1: every lane of the store unit has one
    parameter int PSUM              = 16 + $clog2(DIM)  // bits of the array's sums; more change nothing
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic [           31:0] program_address,
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
  core #(
      .DIM(DIM), .DATAFLOW(DATAFLOW), .SCRATCHPAD_KIB(SCRATCHPAD_KIB), .SCRATCHPAD_BANKS(SCRATCHPAD_BANKS), .ACCUMULATOR_KIB(ACCUMULATOR_KIB),
      .ACCUMULATOR_BANKS(ACCUMULATOR_BANKS), .BUS_BYTES(BUS_BYTES), .OUTSTANDING(OUTSTANDING),
      .QUEUE_DEPTH(QUEUE_DEPTH), .ACTIVATION_TABLES(ACTIVATION_TABLES), .PSUM(PSUM)
  ) core (
      .burst_rows(7'(BURST_ROWS)), .outstanding(7'(OUTSTANDING)), .queue_depth(5'(QUEUE_DEPTH)),
      .scratchpad_banks(5'(SCRATCHPAD_BANKS)), .accumulator_banks(5'(ACCUMULATOR_BANKS)), .least_run('0), .*
  );
endmodule
