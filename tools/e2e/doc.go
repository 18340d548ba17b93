// Package e2e tests broker, edges and a simulated WeChat together: in one
// process and in fake time, and as real processes.
package e2e
