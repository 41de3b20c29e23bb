// Brings a block of rows of tiles from DRAM into a buffer, with a border of zeros around it if there are borders.
//
// Beats are written as they come. Zeros are written in the other cycles, a tile each; a gap between two rows that needs
// none takes one such cycle too.
module transfer #(
    parameter int BUS   = 8,
    parameter int SHIFT = 3,  // bits of the logarithm of a tile's beats
    parameter int PART  = 3,  // bits of a beat's number within its tile
    parameter int BORDERS = 1
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             start,
    input  logic [    127:0] command,     // stays until the next start
    input  logic [SHIFT-1:0] tile_shift,  // logarithm of a tile's beats; stays too
    output logic             request,
    output logic             request_last,
    output logic [     31:0] request_address,
    output logic [      7:0] request_length,
    input  logic             request_taken,
    input  logic             beat,
    output logic             write_zeros,
    output logic [     12:0] write_address,
    output logic [ PART-1:0] write_part,  // of a beat
    output logic             finish
);
  logic [11:0] rows, columns;
  assign columns = command[87:76];
  assign rows = command[75:64];
  requests #(.BUS(BUS), .SHIFT(SHIFT)) requests (
      .clk, .reset, .start, .first(command[63:32]), .rows, .columns, .stride(command[103:88]), .tile_shift, .request,
      .request_last, .request_address, .request_length, .request_taken
  );

  logic [PART-1:0] last_part;
  logic ends_tile, ends_row, more, running, bordering;
  logic [12:0] first_data, between, data_address, zeros_address;
  assign last_part = ~({PART{1'b1}} << tile_shift);
  walk #(.PART(PART)) walk (
      .clk, .reset, .start, .rows, .columns, .last_part, .beat, .part(write_part), .ends_tile, .ends_row, .more
  );
  assign write_address = beat ? data_address : zeros_address;
  always_ff @(posedge clk)
    if (start) data_address <= first_data;
    else if (beat && ends_tile) data_address <= data_address + 13'd1 + (ends_row ? between : 13'd0);
  assign finish = running && !more && !bordering;
  always_ff @(posedge clk) running <= !reset && (start || (running && !finish));

  if (BORDERS == 0) begin : g_plain
    assign first_data = command[22:10];
    assign between = '0;
    assign {bordering, write_zeros, zeros_address} = '0;
    wire unused = &{1'b0, command[119:104]};
  end else begin : g_border
    // What comes before the first row, between rows, and after the last.
    logic [3:0] top, bottom, left, right;
    logic [12:0] pitch;
    logic [16:0] above, zeros_left, zeros_last;
    logic [11:0] gaps_left;
    logic moves;
    function automatic logic [16:0] times(input logic [3:0] count, input logic [12:0] width);
      times = (count[0] ? 17'(width) : '0) + (count[1] ? 17'(width) << 1 : '0) +
              ((count[2] ? 17'(width) << 2 : '0) + (count[3] ? 17'(width) << 3 : '0));
    endfunction
    assign {right, left, bottom, top} = command[119:104];
    assign between = 13'(left) + 13'(right);
    assign pitch = 13'(columns) + between;
    assign above = times(top, pitch) + 17'(left);
    assign first_data = command[22:10] + above[12:0];
    assign zeros_last = times(bottom, pitch) + 17'(right);
    assign moves = bordering && !beat;
    assign write_zeros = moves && zeros_left != 0;
    always_ff @(posedge clk)
      if (reset || start) begin
        bordering <= !reset && command[119:104] != 0;
        zeros_left <= above;
        gaps_left <= rows;
        zeros_address <= command[22:10];
      end else if (moves) begin
        if (zeros_left > 17'd1) begin
          zeros_left <= zeros_left - 1'b1;
          zeros_address <= zeros_address + 1'b1;
        end else begin
          bordering <= gaps_left != 0;
          gaps_left <= gaps_left - 1'b1;
          zeros_left <= gaps_left == 12'd1 ? zeros_last : 17'(between);
          zeros_address <= zeros_address + 13'(zeros_left[0]) + 13'(columns);
        end
      end
  end
  wire unused_rest = &{1'b0, command[31:23], command[9:0], command[127:120]};
endmodule
