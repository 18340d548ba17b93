package config

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/wxbroker/wxbroker/pkg/credential"
)

// appSecretForm is what an AppSecret looks like. One that stands where its
// file's name or its variable's belongs must not be quoted.
var appSecretForm = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// maxSecret bounds a secret's file, in bytes. An AppSecret has 32.
const maxSecret = 1 << 10

func (r *reader) secret(key string, written fileAccount) credential.Secret {
	switch {
	case (written.SecretFile == "") == (written.SecretEnv == ""):
		r.wrongf(key, "needs exactly one of secret_file and secret_env")
		return credential.Secret{}
	case appSecretForm.MatchString(written.SecretFile):
		r.wrongf(key+".secret_file", "is an AppSecret by its looks: put it into a file, and the file's name here")
		return credential.Secret{}
	case appSecretForm.MatchString(written.SecretEnv) || written.SecretEnv != "" && !variableForm.MatchString(written.SecretEnv):
		r.wrongf(key+".secret_env", "is not the name of an environment variable")
		return credential.Secret{}
	case written.SecretEnv != "":
		value := strings.TrimSpace(os.Getenv(written.SecretEnv))
		if value == "" {
			r.wrongf(key+".secret_env", "the environment variable %s is empty or not set", written.SecretEnv)
		}
		return credential.NewSecret(value)
	}
	return r.secretFile(key+".secret_file", written.SecretFile)
}

func (r *reader) secretFile(key, path string) credential.Secret {
	secret, worldReadable, err := readSecret(path)
	if err != nil {
		r.wrongf(key, "%v", err)
	}
	if worldReadable {
		r.warnf(key, "%s can be read by every user of this machine: chmod 600 it", path)
	}
	return secret
}

// readSecret reads an AppSecret from its file, and says whether every user of
// the machine can.
func readSecret(path string) (secret credential.Secret, worldReadable bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return credential.Secret{}, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return credential.Secret{}, false, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return credential.Secret{}, false, err
	}
	value := strings.TrimSpace(string(raw))
	if value == "" || len(raw) > maxSecret || strings.ContainsAny(value, " \t\r\n") {
		return credential.Secret{}, false, fmt.Errorf("%s does not hold just an AppSecret", path)
	}
	return credential.NewSecret(value), info.Mode().Perm()&0o004 != 0, nil
}
