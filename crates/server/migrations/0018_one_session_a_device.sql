-- A device has one session, the last that said its id. Others that had said it before are listed by themselves from now on: none is hidden behind another.
UPDATE sessions SET device_id = NULL
WHERE EXISTS (SELECT 1 FROM sessions AS later
              WHERE later.account_id = sessions.account_id AND later.device_id = sessions.device_id
                AND (later.created_at > sessions.created_at
                     OR (later.created_at = sessions.created_at AND later.token_hash > sessions.token_hash)));
