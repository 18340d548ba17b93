package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"unicode/utf8"
)

// addJSON reads a JSON object. It ignores members that are not ours. A member that is
// ours may be there only once, although encoding/json would take the last.
func (given rawParameters) addJSON(body []byte, ours parameterNames) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	start, err := decoder.Token()
	// encoding/json would replace bytes that are not UTF-8, and the edge would sign
	// another URL than the page's.
	if err != nil || start != json.Delim('{') || !json.Valid(body) || !utf8.Valid(body) {
		return refuse(http.StatusBadRequest, "the body is not a JSON object, though its content type says so")
	}
	seen := map[string]bool{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return refuse(http.StatusBadRequest, "the body is JSON that cannot be read")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return refuse(http.StatusBadRequest, "the body is JSON that cannot be read")
		}
		name, _ := key.(string) // always: the object is valid
		if ours[name] == 0 {
			continue
		}
		if seen[name] {
			return refuse(http.StatusBadRequest, "%s is given twice", name)
		}
		seen[name] = true
		if bytes.Equal(value, []byte("null")) {
			continue
		}
		values, ok := jsonValues(name, value)
		if !ok {
			return refuse(http.StatusBadRequest, "%s has a type that it cannot have", name)
		}
		if given[name] = append(given[name], values...); given[name] == nil {
			given[name] = []string{} // an empty list is a list
		}
	}
	return nil
}

// jsonValues returns a member's value as a form would have it. A number stays as it is
// written, so none is rounded.
func jsonValues(name string, value json.RawMessage) ([]string, bool) {
	var text string
	switch value[0] {
	case '"':
		err := json.Unmarshal(value, &text)
		return []string{text}, err == nil
	case 't', 'f':
		return []string{string(value)}, name == "debug"
	case '[':
		var list []string
		err := json.Unmarshal(value, &list)
		return list, err == nil && (name == "jsApiList" || name == "openTagList")
	case '{':
		return nil, false
	default:
		return []string{string(value)}, name == "timestamp"
	}
}
