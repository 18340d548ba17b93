package daemon

import (
	"fmt"
	"os"
	"strings"
)

// tidyEnvironment trims the program's environment variables, and removes those that
// are empty. A manifest easily leaves a newline at a value's end, or a variable without
// a value. Each flag would make something else of that.
func (p Program) tidyEnvironment() error {
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, p.Env+"_") {
			continue
		}
		value = strings.TrimSpace(value)
		err := os.Setenv(name, value)
		if value == "" {
			err = os.Unsetenv(name)
		}
		if err != nil {
			return fmt.Errorf("trimming the environment variable %s: %w", name, err)
		}
	}
	return nil
}
