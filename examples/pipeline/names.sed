# ADDRESS NAME ..., as in /etc/hosts, becomes ADDRESS TAB NAME.
s/#.*//
/^[[:space:]]*$/d
s/^[[:space:]]*([^[:space:]]+)[[:space:]]+([^[:space:]]+).*/\1\t\2/
