// Package logqueue stands between log/slog and standard error, so that the
// program never waits for whoever reads its log: a log driver that is blocked,
// or a terminal that somebody has stopped with ^S.
//
// A line is formatted when it is logged, and put into one of two queues. Each queue is
// bounded in bytes. A goroutine of their own writes the lines out. When the queue of
// ordinary lines is full, it drops lines: debug before info, info before warnings,
// warnings before errors, and of one level the oldest first. Dropped lines are
// counted, and the log says how many are missing once lines get through again.
//
// Audit lines, marked by [Audit], have the other queue, which is written out first.
// So an audit line can stand before ordinary lines that are older. The time in a line
// is that of its event. A full audit queue keeps what it has; then the new line is
// lost, and its sender is told.
package logqueue
